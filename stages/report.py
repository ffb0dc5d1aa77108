"""Write the page of this run, reports/report.html, and the data of its figures, reports/report/."""

from pathlib import Path

from knotwork.entry import TIMINGS, run_stage
from knotwork.params import Params
from knotwork.report.build import build


def work(params: Params, arguments: list[str]) -> None:
    """Build the report."""
    reports = Path("reports")
    build(reports, TIMINGS, params.tasks, reports / "report.html", params.report.examples)


run_stage(work)
