"""The tables of a comparison."""

from collections.abc import Callable

from knotwork.report import formats
from knotwork.report.comparison.contrasts import (
    ACCURACY,
    CHRF,
    LEVEL,
    POWER,
    Comparison,
    Entry,
    Group,
    Measure,
    measures,
)
from knotwork.report.comparison.examples import Disagreement
from knotwork.report.comparison.summary import number, place
from knotwork.report.elements import Cell, Definitions, Table
from knotwork.report.names import enumerate_names, sentence_case
from knotwork.report.paper import PAPER
from knotwork.report.tables import READING_VERSE, per_value, plain, signatures, table, verse_cells

UNTRAINED = "Untrained base"

# Parameters that say which files were used: the groups take care of them.
FILES = {"base.sha256", "corpus.files", "task"}

READING = (
    f"Every score stands above its {formats.CONFIDENCE} interval, every difference from the run that the others "
    f"are held against above its paired {formats.CONFIDENCE} interval (bootstrap over examples and seeds). p comes "
    "from the exact McNemar test for accuracies of one seed each, with the examples that only the run and only "
    "the other one gets right below it, and from the paired bootstrap otherwise; it is corrected by Holm’s method "
    "over all tests of this comparison. The smallest difference is the one that a test on these examples, alone, "
    f"would have found with a chance of {formats.percent(POWER, 0)}; a dash stands where the two differ on too few "
    "examples to say."
)


def overview(comparison: Comparison) -> Table:
    """A row per run, a column per task and measure."""
    columns = {
        task: (groups[0].first.result, measures(groups[0].first.result))
        for task, groups in comparison.tasks.items()
    }
    rows = []
    for run in comparison.runs:
        entries = {entry.result.task: entry for entry in comparison.entries if entry.run == run}
        row = {"Run": Cell(run, enumerate_names(list(dict.fromkeys(e.result.adapter for e in entries.values()))))}
        for task, (result, compared) in columns.items():
            for measure in compared:
                head = f"{sentence_case(result.name)}, {measure.name}"
                row[head] = _overview_cell(comparison, entries.get(task), measure)
        rows.append(row)
    return table(
        "All runs. Below a score, its difference from the run that it is held against, and whether it is better "
        f"or worse by more than chance (p at most {LEVEL} after Holm’s correction over "
        f"{len(comparison.contrasts)} tests).",
        rows,
    )


def _overview_cell(comparison: Comparison, entry: Entry | None, measure: Measure) -> Cell:
    if entry is None:
        return Cell(formats.NONE)
    group = next(group for group in comparison.groups if entry in group.entries)
    contrast = group.contrast(entry.run, measure)
    notes = []
    if contrast is not None:
        notes.append(measure.difference(contrast.difference.value))
        if contrast.verdict != "open":
            notes.append(contrast.verdict)
    if number(comparison, group) > 1:
        notes.append(f"group {number(comparison, group)}")
    return Cell(measure.value(entry.score(measure).value), ", ".join(notes))


def contrasts(comparison: Comparison, group: Group, measure: Measure) -> Table:
    """A group's runs in one measure: score, difference, test, what could have been seen, cost."""
    compared = measures(group.first.result)
    head = f"Difference{measure.unit.replace(' ', ', ')}"
    rows = []
    for entry in group.entries:
        score = entry.score(measure)
        spread = measure.interval(score.low, score.high)
        row = {
            "Run": Cell(entry.run, _adapter(entry)),
            measure.title: Cell(measure.value(score.value), spread + _deviation(entry, measure)),
            **_difference(group, entry, measure, head),
        }
        if measure is CHRF:
            row["chrF of whole sonnets"] = _whole(entry)
        if measure is compared[-1]:
            row |= _costs(entry)
        rows.append(row)
    references = [_reference(list(rows[0]), cells) for cells in _references(group, measure)]
    examples = formats.count(len(group.first.scores.ids))
    against = f"; differences are from {group.first.run}" if len(group.entries) > 1 else ""
    return table(
        f"{sentence_case(place(comparison, group))}: {measure.name} on {examples} dev examples{against}."
        + (" Less is better." if measure.sign < 0 else ""),
        rows + references,
    )


def _adapter(entry: Entry) -> str:
    seeds = len(entry.card.seeds)
    notes = [entry.result.adapter, *([f"{seeds} seeds"] if seeds > 1 else [])]
    return ", ".join([*notes, *(["chosen on dev"] if entry.result.selected_on_dev else [])])


def _deviation(entry: Entry, measure: Measure) -> str:
    """The deviation over seeds, where there are several and it is known."""
    deviation = getattr(entry.result.metrics, f"{measure.key}_sd", None)
    if len(entry.card.seeds) == 1 or deviation is None:
        return ""
    return f", SD {formats.decimal(measure.scale * deviation)}"


def _difference(group: Group, entry: Entry, measure: Measure, head: str) -> dict[str, Cell]:
    contrast = group.contrast(entry.run, measure)
    dash = Cell(formats.NONE)
    if contrast is None:
        cells = dash, Cell(formats.NONE, "" if entry is group.first else "not tested"), dash
    else:
        low, high = contrast.difference.low, contrast.difference.high
        alone = "{} : {}".format(*contrast.alone) if contrast.alone else ""
        cells = (
            Cell(measure.difference(contrast.difference.value), measure.differences(low, high)),
            Cell(formats.p_value(contrast.adjusted).removeprefix("p ").removeprefix("= "), alone),
            Cell(formats.decimal(None if contrast.smallest is None else measure.scale * contrast.smallest)),
        )
    return dict(zip((head, "p, Holm", "Smallest difference"), cells, strict=True))


def _whole(entry: Entry) -> Cell:
    metrics = entry.result.metrics
    return Cell(
        formats.decimal(metrics.chrf_whole), formats.interval(metrics.chrf_whole_low, metrics.chrf_whole_high)
    )


def _costs(entry: Entry) -> dict[str, Cell]:
    metrics = entry.result.metrics
    return {
        "Trained parameters": Cell(
            formats.count(metrics.trainable_parameters), f"+ {formats.count(metrics.head_parameters)} head"
        ),
        "Training, memory": Cell(formats.seconds(metrics.train_seconds), formats.megabytes(metrics.peak_memory_mb)),
    }


def _references(group: Group, measure: Measure) -> list[dict[str, Cell]]:
    """Rows to hold against the runs: baselines, a line per value, and the paper's figure."""
    if measure is ACCURACY:
        baselines = {"Largest class": "largest_class", "Bag of words, same rows": "tfidf", UNTRAINED: "zero_shot"}
    elif measure is CHRF:
        kinds = {"Random training sonnet": "random_sonnet", "Copied lines": "copied_lines", UNTRAINED: "zero_shot"}
        baselines = {name: f"{kind}_chrf_generated" for name, kind in kinds.items()}
    else:
        baselines = {UNTRAINED: "zero_shot_perplexity"}
    rows = []
    for name, key in baselines.items():
        values: dict[float, list[str]] = {}
        for entry in group.entries:
            value = getattr(entry.result.metrics, f"baseline_{key}")
            if value is not None:
                values.setdefault(value, []).append(entry.run)
        for value, runs in values.items():
            below = "" if len(values) == 1 else f"on the rows of {enumerate_names(runs)}"
            rows.append({"Run": Cell(name, below), measure.title: Cell(measure.value(value))})
            if measure is CHRF:
                metrics = next(entry.result.metrics for entry in group.entries if entry.run == runs[0])
                whole = getattr(metrics, f"baseline_{key}".replace("generated", "whole"))
                rows[-1]["chrF of whole sonnets"] = Cell(formats.decimal(whole))
    published = PAPER.get(group.task)
    if published is not None:
        column = {"accuracy": ACCURACY.title, "chrf_whole": "chrF of whole sonnets"}[published.metric]
        write = formats.percent if published.metric == "accuracy" else formats.decimal
        if measure in (ACCURACY, CHRF):
            rows.append({"Run": Cell("The paper’s"), column: Cell(write(published.value), published.split or "")})
    return rows


def form(comparison: Comparison, group: Group) -> Table | None:
    """The form of the generated sonnets, a row per run and one for the true ones; None where no run has it."""
    entries = [entry for entry in group.entries if "run" in entry.card.verse]
    if not entries:
        return None
    rows = [
        {"Run": Cell(entry.run, _adapter(entry)), **verse_cells(entry.card.verse["run"], entry.result.metrics)}
        for entry in entries
    ]
    true = entries[0].card.verse.get("true")
    if true:
        rows.append({"Run": Cell("True sonnets"), **verse_cells(true)})
    return table(
        f"{sentence_case(place(comparison, group))}: the form of the lines after the given ones, not tested. "
        f"{READING_VERSE}",
        rows,
    )


def _reference(head: list[str], cells: dict[str, Cell]) -> dict[str, Cell]:
    return {name: cells.get(name, Cell("")) for name in head}


def failures(comparison: Comparison) -> Table | None:
    """The runs that stalled or collapsed; None if there are none."""
    found = [
        ({"Run": Cell(entry.run), "Task": Cell(sentence_case(entry.result.name))}, entry.result)
        for entry in comparison.entries
        if any("yes" in (seed.stall, seed.collapse) for seed in entry.card.per_seed)
    ]
    return signatures(found) if found else None


def _per_answer(example: Disagreement) -> list[str]:
    """``positive: lora, full (2 of 3 seeds)``."""
    runs: dict[str, list[str]] = {}
    for answer in example.answers:
        runs.setdefault(answer.label, []).append(answer.run + (f" ({answer.votes})" if answer.votes else ""))
    return [f"{label}: {', '.join(names)}" for label, names in runs.items()]


def disagreements(comparison: Comparison, group: Group, found: list[Disagreement], total: int) -> Table:
    """Examples on which runs answer differently: a row per example."""
    rows = [
        {
            "Example": Cell(example.id),
            "True class": Cell(example.gold),
            "Answers": Cell("; ".join(_per_answer(example))),
        }
        for example in found
    ]
    share = formats.percent(total / len(group.first.scores.ids), 0)
    return table(
        f"{sentence_case(place(comparison, group))}: examples on which the runs answer differently, those first on "
        "which they differ most in the probability of the true class. They differ on "
        f"{formats.count(total)} of {formats.count(len(group.first.scores.ids))} examples ({share}).",
        rows,
        texts=("True class", "Answers"),
    )


def differing_parameters(comparison: Comparison) -> list[Definitions]:
    """The parameters in which runs of a task differ, or that only some of them have, group by group."""
    groups: dict[str, list[tuple[str, list[str]]]] = {}
    for key in sorted({key for entry in comparison.entries for key in entry.card.parameters} - FILES):
        of_task: dict[str, set[str | None]] = {}
        for entry in comparison.entries:
            of_task.setdefault(entry.result.task, set()).add(_parameter(entry, key))
        if any(len(values) > 1 for values in of_task.values()):
            having = [entry for entry in comparison.entries if key in entry.card.parameters]
            group, dot, rest = key.partition(".")
            values = shared(having, lambda entry, key=key: str(_parameter(entry, key)))
            groups.setdefault(group if dot else "run", []).append((rest or key, values))
    return [Definitions(group, entries) for group, entries in groups.items()]


def _parameter(entry: Entry, key: str) -> str | None:
    """A parameter's value as text; None where the run has no such parameter."""
    return plain(entry.card.parameters[key]) if key in entry.card.parameters else None


def shared(entries: list[Entry], value: Callable[[Entry], str]) -> list[str]:
    """The one value of all, or a line per value that names tasks, runs or both, whatever decides it."""
    found = [(entry.run, entry.result.task, value(entry)) for entry in entries]
    if len({(task, one) for _, task, one in found}) == len({task for _, task, _ in found}):
        return per_value((task, one) for _, task, one in found)
    if len({(run, one) for run, _, one in found}) == len({run for run, _, _ in found}):
        return per_value((run, one) for run, _, one in found)
    runs: dict[tuple[str, str], list[str]] = {}
    for run, task, one in found:
        runs.setdefault((task, one), []).append(run)
    return per_value((f"{enumerate_names(names)} on {task}", one) for (task, one), names in runs.items())
