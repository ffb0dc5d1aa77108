"""Score the listed seeds of one task and write its report files: reports/<task>/."""

from pathlib import Path

from knotwork.entry import run_stage
from knotwork.evaluation import evaluate_task
from knotwork.files import sha256, write_json
from knotwork.params import Params


def work(params: Params, arguments: list[str]) -> None:
    """Evaluate one task."""
    (task,) = arguments
    reports = Path("reports") / task
    evaluate_task(params, task, Path("data"), Path("models") / task, reports)
    # The report depends on this file: a stage cannot depend on a list of folders that params.yaml decides.
    files = sorted(path for path in reports.rglob("*") if path.is_file())
    write_json(
        Path("data/evaluated") / f"{task}.json", {str(path.relative_to(reports)): sha256(path) for path in files}
    )


run_stage(work)
