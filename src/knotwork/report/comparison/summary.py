"""Sentences drawn from a comparison: who wins where, by how much, and whether it may be chance."""

from collections.abc import Mapping

from knotwork.report import formats
from knotwork.report.comparison.contrasts import (
    ACCURACIES,
    LEVEL,
    POWER,
    Comparison,
    Contrast,
    Entry,
    Group,
    Measure,
    matching,
    measures,
)
from knotwork.report.elements import Notice
from knotwork.report.names import TASKS, enumerate_names, sentence_case
from knotwork.report.records import Card
from knotwork.report.summary import ONE_SEED, beside_the_paper, chosen_on_dev

MOST_RUNS = 3  # named in one sentence
MOST_LIMITS = 2  # of accuracies in a sentence
MOST_PLACES = 3  # at which a sentence says by how much a run is better
SHOWN_HASH = 8  # digits


def title(comparison: Comparison) -> str:
    """What is held against what."""
    first, *others = comparison.runs
    return f"{first} against {_some(others)}"


def sentences(comparison: Comparison) -> list[str]:
    """The summary: what is better, what is worse, what is open. Three sentences at most."""
    contrasts = comparison.contrasts
    if not contrasts:
        return ["No two runs match on any task, so no difference was tested."]
    places = {group.task: group.first.result.name for group in comparison.groups}
    found = []
    for verdict in ("better", "worse"):
        these = [contrast for contrast in contrasts if contrast.verdict == verdict]
        if these:
            these.sort(key=lambda contrast: comparison.runs.index(contrast.run))
            found.append(_clauses(these, verdict, places))
    return [*found, _open(contrasts, places)]


def _clauses(contrasts: list[Contrast], verdict: str, places: Mapping[str, str]) -> str:
    """``Against a, b is better on SST (+1.0 points) and c is better on SST (+2.0 points).``"""
    parts = []
    for first in dict.fromkeys(contrast.first for contrast in contrasts):
        by_run: dict[str, list[str]] = {}
        for contrast in contrasts:
            if contrast.first == first:
                by_run.setdefault(contrast.run, []).append(_place(contrast, places))
        clauses = [f"{run} is {verdict} {_some_places(where)}" for run, where in list(by_run.items())[:MOST_RUNS]]
        if len(by_run) > MOST_RUNS:
            more = len(by_run) - MOST_RUNS
            clauses.append("so is 1 more run" if more == 1 else f"so are {more} more runs")
        parts.append(f"against {first}, {'; '.join(clauses)}")
    return sentence_case("; ".join(parts)) + "."


def _some_places(places: list[str]) -> str:
    """The first places, and how many more there are."""
    if len(places) <= MOST_PLACES + 1:
        return enumerate_names(places)
    return f"{', '.join(places[:MOST_PLACES])} and in {len(places) - MOST_PLACES} more scores"


def _place(contrast: Contrast, places: Mapping[str, str]) -> str:
    measure = contrast.measure
    by = f"{measure.difference(contrast.difference.value)}{measure.unit}"
    return f"{measure.phrase.format(places[contrast.task])} ({by})"


def _open(contrasts: list[Contrast], places: Mapping[str, str]) -> str:
    """What may be chance, and what could have been seen there."""
    these = [contrast for contrast in contrasts if contrast.verdict == "open"]
    if not these:
        if len(contrasts) == 1:
            return "The difference is significant."
        return f"{_all(len(contrasts))} differences are significant after Holm’s correction."
    if len(these) < len(contrasts):
        subject = f"{len(these)} of {len(contrasts)} differences"
    else:
        subject = f"{_all(len(these))} differences" if len(these) > 1 else "The difference"
    text = f"{subject} may be chance (p above {LEVEL} after Holm’s correction)"
    limits: dict[tuple[str, Measure], float] = {}
    for contrast in these:
        if contrast.smallest is not None:
            key = contrast.task, contrast.measure
            limits[key] = max(limits.get(key, 0.0), contrast.smallest)
    if not limits:
        return f"{text}."
    found = f"would have been found with a chance of {formats.percent(POWER, 0)}"
    return f"{text}; before that correction, differences of {enumerate_names(_limits(limits, places))} {found}."


def _all(count: int) -> str:
    return "Both" if count == 2 else f"All {count}"


def _limits(limits: Mapping[tuple[str, Measure], float], places: Mapping[str, str]) -> list[str]:
    """``4.2 points on SST``; of many accuracies the smallest and the largest."""
    seen = {
        key: f"{formats.decimal(key[1].scale * limit)}{key[1].unit} {key[1].phrase.format(places[key[0]])}"
        for key, limit in limits.items()
    }
    points = sorted((key for key in limits if key[1] in ACCURACIES), key=limits.__getitem__)
    if len(points) <= MOST_LIMITS:
        return list(seen.values())
    others = [text for key, text in seen.items() if key[1] not in ACCURACIES]
    return [f"{seen[points[0]]} to {seen[points[-1]]}", *others]


def winners(comparison: Comparison) -> list[str]:
    """For each group of runs and measure, who scores best and what that is worth."""
    found = []
    for group in comparison.groups:
        compared = {measure: group.compared(measure) for measure in group.measures}
        found += [_winner(comparison, group, measure, runs) for measure, runs in compared.items() if len(runs) > 1]
    return found


def _winner(comparison: Comparison, group: Group, measure: Measure, runs: list[Entry]) -> str:
    best = max(runs, key=lambda entry: measure.sign * entry.score(measure).value)
    score = best.score(measure)
    where, value = sentence_case(place(comparison, group)), measure.value(score.value)
    alike = [entry.run for entry in runs if entry.score(measure).value == score.value]
    if len(alike) > 1:
        return f"{where}: {enumerate_names(alike)} share the best {measure.name}, {value}."
    text = (
        f"{where}: {best.run} has the best {measure.name}, {value} "
        f"({formats.CONFIDENCE} interval {measure.interval(score.low, score.high)})"
    )
    contrast = group.contrast(best.run, measure)
    if best is runs[0]:
        return f"{text}; it is the run that the others are held against."
    if contrast is None:
        return f"{text}; whether that is more than chance was not tested."
    difference = contrast.difference
    far = (
        f"{measure.difference(difference.value)}{measure.unit} from {runs[0].run} "
        f"({measure.differences(difference.low, difference.high)})"
    )
    test = f"{formats.p_value(contrast.adjusted)} after Holm’s correction"
    if contrast.verdict == "open":
        return f"{text}, but that is {far} and may be chance ({test})."
    return f"{text}, {far}, {test}."


def place(comparison: Comparison, group: Group) -> str:
    """A group's task, and the group's number where the task has several."""
    groups = comparison.tasks[group.task]
    name = group.first.result.name
    return name if len(groups) == 1 else f"{name}, group {number(comparison, group)}"


def number(comparison: Comparison, group: Group) -> int:
    """A group's number among those of its task, from 1."""
    return 1 + next(index for index, other in enumerate(comparison.tasks[group.task]) if other is group)


def notice(comparison: Comparison) -> Notice | None:
    """Which runs are kept apart, and why."""
    reasons: dict[str, list[str]] = {}
    for groups in comparison.tasks.values():
        main, *others = groups
        for group in others:
            runs = enumerate_names([entry.run for entry in group.entries])
            against = enumerate_names([entry.run for entry in main.entries])
            stand = "stands" if len(group.entries) == 1 else "stand"
            reason = f"{runs} {stand} apart from {against}: {_reason(group.first, main.first)}"
            reasons.setdefault(reason, []).append(group.first.result.name)
    if not reasons:
        return None
    points = [f"On {enumerate_names(list(dict.fromkeys(tasks)))}, {reason}." for reason, tasks in reasons.items()]
    same = enumerate_names(list(matching(comparison.entries[0].card)))
    advice = f"Runs are compared only with those of their own group: same {same}."
    return Notice("Runs that do not match are kept apart", points, advice)


def _reason(entry: Entry, main: Entry) -> str:
    values, other = matching(entry.card), matching(main.card)
    parts = []
    for name, value in values.items():
        if value == other[name]:
            continue
        shown = [_shown(name, each, card) for each, card in ((value, entry.card), (other[name], main.card))]
        parts.append(f"another {name} ({shown[0]} instead of {shown[1]})")
    return enumerate_names(parts)


def _shown(name: str, value: str, card: Card) -> str:
    if name == "base":
        return f"{card.base.name} {value[:SHOWN_HASH]}"
    return value if name in ("selection", "sampling") else value[:SHOWN_HASH]


def remarks(comparison: Comparison, same: Mapping[str, str]) -> list[str]:
    """What a reader must know before taking the figures for more than they are.

    Args:
        comparison: the comparison.
        same: runs that were left out, with the run whose files they share.
    """
    entries = comparison.entries
    results = [entry.result for entry in entries]
    found = [f"{run} holds the same files as {kept} and is shown once." for run, kept in same.items()]
    if any(len(entry.card.seeds) == 1 for entry in entries):
        found.append(ONE_SEED)
    on_dev = dict.fromkeys(result.name for result in results if result.selected_on_dev)
    if on_dev:
        found.append(chosen_on_dev(list(on_dev)))
    found += [*_absent(comparison), *_left_out(comparison)]
    untested = [
        f"{measure.title} on {group.first.result.name}"
        for group in comparison.groups
        for measure in group.measures
        if len(group.compared(measure)) > 1 and not any(contrast.measure is measure for contrast in group.contrasts)
    ]
    if untested:
        found.append(
            f"{enumerate_names(untested)} could not be tested: scores.tsv holds hashes instead of the true texts; "
            "--corpus names the folder that has them."
        )
    unequal = [
        place(comparison, group) for group in comparison.groups if len(set(map(_trained_on, group.entries))) > 1
    ]
    if unequal:
        found.append(f"The runs were trained on different rows on {enumerate_names(unequal)}.")
    return [*found, *beside_the_paper(results)]


def _trained_on(entry: Entry) -> tuple[str | None, int | None]:
    return entry.card.corpus.files.get("train"), entry.card.rows.get("train")


def _absent(comparison: Comparison) -> list[str]:
    """Runs without results for a task that others have."""
    absent: dict[str, list[str]] = {}
    for run in comparison.runs:
        have = {entry.result.task for entry in comparison.entries if entry.run == run}
        lacking = [TASKS.get(task, task) for task in comparison.tasks if task not in have]
        if lacking:
            absent.setdefault(enumerate_names(lacking), []).append(run)
    return [f"{enumerate_names(runs)} {_have(runs)} no results for {tasks}." for tasks, runs in absent.items()]


def _left_out(comparison: Comparison) -> list[str]:
    """Runs of a group that lack a measure, or that have it on other examples."""
    found: dict[tuple[Measure, str], list[str]] = {}
    for group in comparison.groups:
        for measure in group.measures:
            compared = group.compared(measure)
            apart = [entry for entry in group.entries if entry not in compared]
            lacking = [entry.run for entry in apart if measure not in measures(entry.result)]
            other = [entry.run for entry in apart if entry.run not in lacking]
            texts = {
                f"{enumerate_names(lacking)} {_have(lacking)} no results": lacking,
                f"{enumerate_names(other)} answered other examples than {compared[0].run} and {_are(other)} not "
                "compared with it": other,
            }
            for text in (text for text, runs in texts.items() if runs):
                found.setdefault((measure, text), []).append(place(comparison, group))
    return [
        f"{sentence_case(measure.phrase.format(enumerate_names(places)))}, {text}."
        for (measure, text), places in found.items()
    ]


def _are(runs: list[str]) -> str:
    return "is" if len(runs) == 1 else "are"


def _have(runs: list[str]) -> str:
    return "has" if len(runs) == 1 else "have"


def _some(runs: list[str]) -> str:
    return enumerate_names(runs) if len(runs) <= MOST_RUNS else f"{len(runs)} other runs"
