"""The tables of a comparison."""

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import replace

from knotwork.report import formats
from knotwork.report.comparison.contrasts import (
    ACCURACY,
    CHRF,
    EXTRAPOLATION,
    LEVEL,
    PERPLEXITY,
    POWER,
    Comparison,
    Entry,
    Group,
    Measure,
    measures,
)
from knotwork.report.comparison.examples import Disagreement
from knotwork.report.comparison.summary import number, place
from knotwork.report.elements import Cell, Definitions, Table, Whisker
from knotwork.report.names import enumerate_names, sentence_case
from knotwork.report.paper import PAPER
from knotwork.report.tables import (
    FILES,
    READING_LEVELS,
    READING_VERSE,
    SURFACE,
    levels,
    per_value,
    plain,
    signatures,
    table,
    verse_cells,
)

UNTRAINED = "Untrained base"

MOST_COLUMNS = 5  # of scores, beside the runs' names
TEXT = 220  # characters of an example

READING = (
    f"Every score stands above its {formats.CONFIDENCE} interval, every difference from the run that the others "
    f"are held against above its paired {formats.CONFIDENCE} interval (bootstrap over examples, or groups of "
    "formulas, and seeds). p comes from the exact McNemar test for accuracies of one seed each, formulas aside, "
    "with the examples that only the run and only the other one gets right below it, and from the paired bootstrap "
    "otherwise; it is corrected by Holm’s method over all tests of this comparison. The smallest difference is the "
    f"one that a test on these examples, alone, would have found with a chance of {formats.percent(POWER, 0)}; a "
    "dash stands where the two differ on too few examples to say."
)


def overview(comparison: Comparison) -> list[Table]:
    """A row per run, a column per task and measure, in as many tables as a page's width needs."""
    columns = [
        (task, measure)
        for task, groups in comparison.tasks.items()
        for measure in dict.fromkeys(measure for group in groups for measure in group.measures)
    ]
    parts = -(-len(columns) // MOST_COLUMNS)
    size = -(-len(columns) // parts)
    shown = [columns[start : start + size] for start in range(0, len(columns), size)]
    return [_overview(comparison, part, first=place == 0) for place, part in enumerate(shown)]


def _overview(comparison: Comparison, columns: list[tuple[str, Measure]], first: bool) -> Table:
    of_run = {run: {e.result.task: e for e in comparison.entries if e.run == run} for run in comparison.runs}
    rows = []
    for run, entries in of_run.items():
        adapters = list(dict.fromkeys(entry.result.adapter for entry in entries.values()))
        row = {"Run": Cell(run, enumerate_names(adapters))}
        for task, measure in columns:
            head = f"{sentence_case(comparison.tasks[task][0].first.result.name)}, {measure.name}"
            row[head] = _overview_cell(comparison, entries.get(task), measure)
        rows.append(row)
    if not first:
        return table("The same for the other scores.", rows)
    tests = len(comparison.contrasts)
    overall = table(
        "All runs. Below a score stand its difference from the run that it is held against and whether it is "
        f"better or worse by more than chance (p at most {LEVEL} after Holm’s correction over "
        f"{tests} test{'s' * (tests != 1)}).",
        rows,
    )
    return replace(
        overall,
        drawn=f"The dot with its whisker is the score with its {formats.CONFIDENCE} interval, on one scale for "
        "each column; it is hollow where the difference may be chance. The dotted line is the score of the run "
        "that the others are held against.",
    )


def _overview_cell(comparison: Comparison, entry: Entry | None, measure: Measure) -> Cell:
    if entry is None or measure not in measures(entry.result):
        return Cell(formats.NONE)
    group = next(group for group in comparison.groups if entry in group.entries)
    compared = group.compared(measure)
    first = compared[0] if entry in compared else entry
    contrast = group.contrast(entry.run, measure)
    notes = []
    if contrast is not None:
        notes.append(measure.difference(contrast.difference.value))
        if contrast.verdict != "open":
            notes.append(contrast.verdict)
    if number(comparison, group) > 1:
        notes.append(f"group {number(comparison, group)}")
    if entry not in compared:
        notes.append("other examples")
    score = entry.score(measure)
    of_task = (e for e in comparison.entries if e.result.task == entry.result.task)
    every = [e.score(measure) for e in of_task if measure in measures(e.result)]
    low, high = min(s.low for s in every), max(s.high for s in every)
    room = (high - low) or 1.0
    places = [(value - low) / room for value in (score.low, score.value, score.high)]
    against = (first.score(measure).value - low) / room
    told_apart = entry is first or (contrast is not None and contrast.verdict != "open")
    alt = f"{formats.CONFIDENCE} interval {measure.interval(score.low, score.high)}"
    whisker = Whisker(*places, against=against, hollow=not told_apart, alt=alt)
    return Cell(measure.value(score.value), ", ".join(notes), whisker=whisker)


def contrasts(comparison: Comparison, group: Group, measure: Measure) -> Table:
    """A group's runs in one measure: score, difference, test, what could have been seen, cost."""
    compared = group.compared(measure)
    head = f"Difference{measure.unit.replace(' ', ', ')}"
    rows = []
    for entry in compared:
        score = entry.score(measure)
        spread = measure.interval(score.low, score.high)
        row = {
            "Run": Cell(entry.run, _adapter(entry)),
            measure.title: Cell(measure.value(score.value), spread + _deviation(entry, measure)),
            **_difference(group, entry, measure, head),
        }
        if measure is CHRF:
            row["chrF of whole sonnets"] = _whole(entry)
        if measure is [each for each in group.measures if each.split == "dev"][-1]:
            row |= _costs(entry)
        rows.append(row)
    references = [_reference(list(rows[0]), cells) for cells in _references(group, measure)]
    examples = f"{formats.count(len(compared[0].on(measure).ids))} {measure.examples}"
    against = f"; differences are from {compared[0].run}" if len(compared) > 1 else ""
    return table(
        f"{sentence_case(place(comparison, group))}: {measure.name} on {examples}{against}."
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
        cells = dash, Cell(formats.NONE, "" if entry is group.compared(measure)[0] else "not tested"), dash
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
    baselines = {}
    if measure is ACCURACY:
        baselines |= {"Largest class": "largest_class", "Bag of words, same rows": "tfidf", UNTRAINED: "zero_shot"}
        baselines |= {name: key for key, name in SURFACE.items()}
    elif measure is CHRF:
        kinds = {"Random training sonnet": "random_sonnet", "Copied lines": "copied_lines", UNTRAINED: "zero_shot"}
        baselines |= {name: f"{kind}_chrf_generated" for name, kind in kinds.items()}
    elif measure is PERPLEXITY:
        baselines |= {UNTRAINED: "zero_shot_perplexity"}
    rows = []
    for name, key in baselines.items():
        values: dict[str, list[str]] = {}  # as shown: another machine's last digit is no other value
        for entry in group.entries:
            value = getattr(entry.result.metrics, f"baseline_{key}")
            if value is not None:
                values.setdefault(measure.value(value), []).append(entry.run)
        whose = "beside" if name == UNTRAINED else "on the rows of"
        for value, runs in values.items():
            below = "" if len(values) == 1 else f"{whose} {enumerate_names(runs)}"
            rows.append({"Run": Cell(name, below), measure.title: Cell(value)})
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


def difficulty(comparison: Comparison, group: Group) -> Table | None:
    """Accuracy by level of difficulty, and how far extrapolation lies from dev; None where no run has levels."""
    rows = [
        {"Run": Cell(entry.run, _adapter(entry)), **cells, "Extrapolation against dev, points": _beyond_dev(entry)}
        for entry in group.entries
        if (cells := levels(entry.result))
    ]
    if not rows:
        return None
    name = sentence_case(place(comparison, group))
    return table(f"{name}: accuracy by level of difficulty, not tested. {READING_LEVELS}", rows)


def _beyond_dev(entry: Entry) -> Cell:
    if EXTRAPOLATION not in measures(entry.result):
        return Cell(formats.NONE)
    change = entry.score(EXTRAPOLATION).value - entry.score(ACCURACY).value
    return Cell(EXTRAPOLATION.difference(change))


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


def disagreements(
    comparison: Comparison, group: Group, found: list[Disagreement], total: int, texts: Mapping[str, str]
) -> Table:
    """Examples on which runs answer differently: a row per example, with its text where it is known."""
    rows = []
    for example in found:
        whole = texts.get(example.text_hash, "").replace("\n", " | ")  # between the texts of a row
        text = textwrap.shorten(whole, TEXT, placeholder=" …")
        rows.append(
            {
                "Example": Cell(text, example.id) if text else Cell(example.id),
                "True class": Cell(example.gold),
                "Answers": Cell("; ".join(_per_answer(example))),
            }
        )
    share = formats.percent(total / len(group.first.scores.ids), 0)
    return table(
        f"{sentence_case(place(comparison, group))}: examples on which the runs answer differently, those first on "
        "which they differ most in the log-probability of the true class. They differ on "
        f"{formats.count(total)} of {formats.count(len(group.first.scores.ids))} examples ({share})."
        + (
            ""
            if texts
            else " Their texts are no part of the results; the option corpus names a folder that has them."
        ),
        rows,
        texts=("Example", "True class", "Answers"),
    )


def differing_parameters(comparison: Comparison) -> list[Definitions]:
    """The parameters in which runs of a task differ, or that only some of them have, group by group."""
    groups: dict[str, list[tuple[str, list[str]]]] = {}
    every = {entry.run for entry in comparison.entries}
    for key in sorted({key for entry in comparison.entries for key in entry.card.parameters} - FILES):
        of_task: dict[str, set[str | None]] = {}
        for entry in comparison.entries:
            of_task.setdefault(entry.result.task, set()).add(_parameter(entry, key))
        if any(len(values) > 1 for values in of_task.values()):
            having = [entry for entry in comparison.entries if key in entry.card.parameters]
            group, dot, rest = key.partition(".")
            runs = list(dict.fromkeys(entry.run for entry in having))
            group = (group if dot else "run") + ("" if set(runs) == every else f", of {enumerate_names(runs)}")
            values = shared(having, lambda entry, key=key: str(_parameter(entry, key)))
            groups.setdefault(group, []).append((rest or key, values))
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
