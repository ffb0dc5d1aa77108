"""One run's results as one self-contained page."""

from pathlib import Path

import jinja2
from markupsafe import Markup

from knotwork.errors import UserError
from knotwork.files import write_text
from knotwork.report import figures, formats, paper, summary, tables
from knotwork.report.elements import Block, Code, Definitions, Page, Prose, Section, Sonnet, Sonnets
from knotwork.report.names import enumerate_names, sentence_case
from knotwork.report.read import TaskResult, Timing, read_task, read_timings

FOLDER = Path(__file__).parent


def build(reports: Path, timings: Path, tasks: list[str], destination: Path, examples: int = 6) -> None:
    """Write the report of a run.

    Args:
        reports: the folder that holds a folder of results per task.
        timings: the folder of the stages' times; it may be absent.
        tasks: the tasks to report, in this order; one without a folder is named as missing.
        destination: the page to write.
        examples: how many generated sonnets to show.

    Raises:
        UserError: no task has results, or a file is missing, broken or of another schema version.
    """
    results = [read_task(reports / task) for task in tasks if (reports / task).is_dir()]
    if not results:
        raise UserError(f"{reports}: no results of {enumerate_names(tasks)}; run `dvc repro` first")
    seeds = {seed for result in results for seed in result.card.seeds}
    times = [
        timing
        for timing in read_timings(timings)
        if timing.task in (None, *tasks) and timing.seed in (None, *seeds)
    ]
    write_text(destination, render(run_page(results, summary.not_run(results, tasks), times, examples)))


def render(page: Page) -> str:
    """A page as HTML; style and pictures are part of it, so it opens from disk without a network."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup((FOLDER / "style.css").read_text(encoding="utf-8"))
    return environment.get_template("page.html.jinja").render(page=page, style=style, paper=paper)


def run_page(results: list[TaskResult], missing: list[str], times: list[Timing], examples: int) -> Page:
    """The page of one run: results, a section per task, cost, parameters, provenance."""
    classification = [result for result in results if result.is_classification]
    sonnets = [result for result in results if not result.is_classification]
    adapter = summary.adapter_name(results)
    scores: list[Block] = [figures.results(classification, sonnets, adapter)]
    if classification:
        scores.append(tables.accuracies(classification, adapter))
    scores += [tables.chrf(result) for result in sonnets]
    cost: list[Block] = [tables.costs(results)]
    if times:
        cost.append(tables.stage_times(times))
    return Page(
        title=_title(results),
        facts=_facts(results),
        summary=[summary.overview(results), summary.explanation(results)],
        points=[summary.task_sentence(result) for result in results],
        remarks=summary.remarks(results, missing),
        notice=summary.notice(results),
        sections=[
            Section("results", "Results", scores),
            *(Section(f"task-{result.task}", result.title, _task_blocks(result, examples)) for result in results),
            Section("failures", "Failure signatures", [tables.failures(results)]),
            Section("cost", "Cost", cost),
            Section("parameters", "Parameters", list(tables.parameters(results))),
            Section("reproduce", "How to reproduce", _provenance(results)),
        ],
    )


def _title(results: list[TaskResult]) -> str:
    adapters = {result.adapter for result in results}
    name = adapters.pop() if len(adapters) == 1 else "several adapters"
    return f"{sentence_case(name)} on {enumerate_names([result.name for result in results])}"


def _facts(results: list[TaskResult]) -> list[tuple[str, str]]:
    values = {
        "Adapter": lambda result: result.adapter,
        "Base": lambda result: (
            f"{result.card.base.name}, {formats.parameters(result.card.base.parameters)} parameters"
        ),
        "Corpus": lambda result: result.card.corpus.manifest,
        "Seeds": lambda result: ", ".join(map(str, result.card.seeds)),
        "Epoch chosen on": _selection,
    }
    return [(name, "; ".join(tables.shared(results, value))) for name, value in values.items()]


def _selection(result: TaskResult) -> str:
    if result.selected_on_dev:
        return "dev (the paper’s protocol)"
    return f"{formats.percent(result.card.selection, 0)} of train"


def _task_blocks(result: TaskResult, examples: int) -> list[Block]:
    blocks: list[Block] = []
    if result.is_classification:
        blocks.append(tables.measures(result))
    if result.history.empty:
        blocks.append(Prose([f"Nothing was trained on {result.name}: the base model is scored as it is."]))
    else:
        blocks.append(figures.curves(result))
    if result.is_classification:
        blocks.append(figures.predictions(result))
    blocks.append(tables.seeds(result))
    if not result.is_classification and examples:
        blocks.append(_sonnets(result, examples))
    return blocks


def _sonnets(result: TaskResult, examples: int) -> Sonnets:
    shown = [
        Sonnet(
            example.id,
            _lines(example.opening),
            _lines(_continuation(example.generated, example.opening)),
            None if example.truth is None else _lines(_continuation(example.truth, example.opening)),
        )
        for example in result.pictures.examples[:examples]
    ]
    return Sonnets(
        "The given lines, what the model wrote after them, and how the poem goes on. They stand in the order "
        "of the file; none was picked.",
        shown,
    )


def _continuation(text: str, opening: str) -> str:
    """The text without the given lines at its start, if they stand there."""
    return text.strip().removeprefix(opening.strip())


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines() if line.strip()]


def _provenance(results: list[TaskResult]) -> list[Block]:
    def of(value: object, length: int | None = None) -> str:
        return formats.NONE if value in (None, "") else str(value)[:length]

    def pairs(values: dict[str, object], length: int | None = None) -> str:
        return "; ".join(f"{key}: {of(value, length)}" for key, value in values.items()) or formats.NONE

    entries = {
        "Commit": _commit,
        "Made": lambda result: of(result.card.created),
        "Machine": lambda result: pairs(result.card.machine),
        "Versions": lambda result: pairs(result.card.versions),
        "Base, SHA-256": lambda result: of(result.card.base.sha256),
        "Files, SHA-256": lambda result: pairs(result.card.corpus.files, 16),
        "Rows": lambda result: pairs(result.card.rows),
        "Prompt": lambda result: f"{result.card.prompt.template} (hash {result.card.prompt.sha256[:16]})",
    }
    signed = [result for result in results if result.card.chrf_signature]
    return [
        Code(_commands(results)),
        Definitions(
            "",
            [(name, tables.shared(results, value)) for name, value in entries.items()]
            + [("chrF signature", [of(result.card.chrf_signature)]) for result in signed],
        ),
    ]


def _commit(result: TaskResult) -> str:
    if result.card.commit is None:
        return "none (made outside git)"
    return result.card.commit + (" with uncommitted changes" if result.card.dirty else "")


def _commands(results: list[TaskResult]) -> str:
    """What to type: each commit once, then its commands."""
    commits: dict[tuple[str | None, bool], dict[str, list[str]]] = {}
    for result in results:
        commands = commits.setdefault((result.card.commit, bool(result.card.dirty)), {})
        commands.setdefault(result.card.command, []).append(result.task)
    lines = []
    for (commit, dirty), commands in commits.items():
        if commit is None:
            lines.append("# made outside git: the code's commit is not known")
        else:
            lines.append(f"git checkout {commit}")
        if dirty:
            lines.append("# there were uncommitted changes: this commit alone may give other numbers")
        lines += [f"{command}  # {', '.join(of)}" for command, of in commands.items()]
    return "\n".join(lines)
