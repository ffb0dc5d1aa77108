"""One run's results as one self-contained page."""

from pathlib import Path

from knotwork.errors import UserError
from knotwork.files import whole_folder, write_text
from knotwork.report import attention, data, figures, provenance, splines, summary, tables, verse
from knotwork.report.elements import Block, Code, Definitions, Page, Prose, Section, Sonnets
from knotwork.report.names import enumerate_names, sentence_case
from knotwork.report.page import render
from knotwork.report.read import TaskResult, Timing, read_results, read_timings


def build(reports: Path, timings: Path, tasks: list[str], destination: Path, examples: int = 6) -> None:
    """Write the report of a run, and the data of its figures into the folder of the same name beside it.

    Args:
        reports: the folder that holds a folder of results per task.
        timings: the folder of the stages' times; it may be absent.
        tasks: the tasks to report, in this order; one without a folder is named as missing.
        destination: the page to write.
        examples: how many generated sonnets to show.

    Raises:
        UserError: no task has results, or a file is missing, broken or of another schema version.
    """
    results = [result for task in tasks if (reports / task).is_dir() for result in read_results(reports / task)]
    if not results:
        raise UserError(f"{reports}: no results of {enumerate_names(tasks)}; run `dvc repro` first")
    seeds = {seed for result in results for seed in result.card.seeds}
    times = [
        timing
        for timing in read_timings(timings)
        if timing.task in (None, *tasks) and timing.seed in (None, *seeds)
    ]
    folder = data.beside(destination)
    page = render(run_page(results, summary.not_run(results, tasks), times, examples, folder.name))
    with whole_folder(folder) as aside:
        for name, text in data.to_csv(data.frames(results)).items():
            write_text(aside / name, text)
    write_text(destination, page)


def run_page(
    results: list[TaskResult], missing: list[str], times: list[Timing], examples: int, folder: str
) -> Page:
    """The page of one run: results, a section per task, cost, parameters, provenance.

    ``folder`` holds the figures' data, beside the page.
    """
    classification = [result for result in results if result.is_classification]
    sonnets = [result for result in results if not result.is_classification]
    adapter = summary.adapter_name(results)
    scores: list[Block] = [figures.results(classification, sonnets, adapter)]
    if classification:
        scores.append(tables.accuracies(classification, adapter))
    for result in sonnets:
        scores += filter(None, [tables.chrf(result), tables.verse(result)])
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
            *(Section(f"task-{result.key}", result.title, _task_blocks(result, examples)) for result in results),
            Section("failures", "Failure signatures", [tables.failures(results)]),
            Section("cost", "Cost", cost),
            Section("parameters", "Parameters", list(tables.parameters(results))),
            Section("reproduce", "How to reproduce", _provenance(results, folder)),
        ],
    )


def _title(results: list[TaskResult]) -> str:
    adapters = {result.adapter for result in results}
    name = adapters.pop() if len(adapters) == 1 else "several adapters"
    return f"{sentence_case(name)} on {enumerate_names([result.name for result in results])}"


def _facts(results: list[TaskResult]) -> list[tuple[str, str]]:
    facts = [("Adapter", tables.shared(results, lambda result: result.adapter))]
    facts += [
        (name, tables.shared(results, lambda result, of=of: of(result.card)))
        for name, of in provenance.SETTING.items()
    ]
    return [(name, "; ".join(values)) for name, values in facts]


def _task_blocks(result: TaskResult, examples: int) -> list[Block]:
    blocks: list[Block] = []
    if result.is_classification:
        blocks += filter(None, [tables.measures(result), tables.difficulty(result), tables.surface(result)])
    if result.history.empty:
        blocks.append(Prose([f"Nothing was trained on {result.name}: the base model is scored as it is."]))
    else:
        blocks.append(figures.curves(result))
    if result.is_classification:
        blocks.append(figures.predictions(result))
    blocks.append(tables.seeds(result))
    own = result.pictures.adapter
    if own and own.splines:
        blocks += splines.figures(result.key, result.name, own.splines)
    if own and own.attention:
        blocks += attention.figures(result.key, result.name, own.attention)
    if not result.is_classification and examples:
        blocks.append(_sonnets(result, examples))
    return blocks


def _sonnets(result: TaskResult, examples: int) -> Sonnets:
    chosen = result.pictures.examples[:examples]
    written = [[("Generated", verse.continuation(each.generated, each.opening))] for each in chosen]
    return Sonnets(
        f"The given lines, what the model wrote after them, {verse.ending(chosen)} "
        f"{verse.order(result.card.samples)}",
        verse.beside_the_truth(chosen, written),
    )


def _provenance(results: list[TaskResult], folder: str) -> list[Block]:
    facts = {
        name: tables.shared(results, lambda result, of=of: of(result.card)) for name, of in provenance.FACTS.items()
    }
    made = provenance.commands([(result.key, result.card) for result in results])
    signed = [("chrF signature", [result.card.chrf_signature]) for result in results if result.card.chrf_signature]
    return [
        Code(f"{made}\n\n# this page, from the files of those runs\ndvc repro report"),
        Prose([provenance.data_in(f"the folder {folder} beside this page")]),
        Definitions("", [*facts.items(), *signed]),
    ]
