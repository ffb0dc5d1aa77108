"""The comparison of runs as a page for the browser: with figures, examples, parameters and provenance."""

from collections.abc import Mapping
from dataclasses import replace

from knotwork.report import attention, provenance, splines
from knotwork.report.comparison import answers, examples, figures, summary, tables
from knotwork.report.comparison.contrasts import Comparison, Group
from knotwork.report.comparison.page import comparison_page
from knotwork.report.elements import Block, Code, Definitions, Page, Prose, Section
from knotwork.report.names import enumerate_names
from knotwork.report.records import AttentionPictures

DISAGREEMENTS = 8  # examples shown per task
SONNETS = 1


def illustrated_page(
    comparison: Comparison, same: Mapping[str, str], command: str, data: str, texts: Mapping[str, str]
) -> Page:
    """Everything that there is to say of a comparison.

    Args:
        comparison: the runs and their differences.
        same: runs that were left out, with the run whose files they share.
        command: what made the page.
        data: the folder that holds the figures' data, in words.
        texts: of the dev examples, by the hash that results know them by; those that are known.
    """
    brief = comparison_page(comparison, same)
    sections = brief.sections[:1]
    for plain, groups in zip(brief.sections[1:], comparison.tasks.values(), strict=True):
        blocks = [block for group in groups for block in _group(comparison, group, texts)]
        sections.append(replace(plain, blocks=blocks))
    costs: list[Block] = [*figures.costs(comparison)]
    if costs:
        sections.append(Section("cost", "Cost against quality", costs))
    learned = _learned(comparison)
    if learned:
        sections.append(Section("learned", "What the adapters learned", learned))
    failures = tables.failures(comparison) or Prose([_no_failures(comparison)])
    differing: list[Block] = [*tables.differing_parameters(comparison)]
    same_parameters = Prose(["The runs have the same parameters."])
    sections += [
        Section("failures", "Failure signatures", [failures]),
        Section("parameters", "Parameters that set the runs apart", differing or [same_parameters]),
        Section("reproduce", "How to reproduce", _provenance(comparison, command, data)),
    ]
    return replace(brief, sections=sections)


def _group(comparison: Comparison, group: Group, texts: Mapping[str, str]) -> list[Block]:
    blocks: list[Block] = []
    for measure in group.measures:
        blocks += [figures.scores(comparison, group, measure), tables.contrasts(comparison, group, measure)]
    further = [tables.difficulty(comparison, group), tables.form(comparison, group)]
    blocks += filter(None, [*further, figures.curves(comparison, group)])
    if group.first.result.is_classification:
        blocks.append(answers.answers(comparison, group))
    if group.first.result.is_classification and len(group.entries) > 1:
        found = examples.disagreements(group)
        same_answers = Prose([f"The runs give the same answers on {group.first.result.name}."])
        blocks.append(
            tables.disagreements(comparison, group, found[:DISAGREEMENTS], len(found), texts)
            if found
            else same_answers
        )
    if not group.first.result.is_classification:
        sonnets = examples.sonnets(group, SONNETS)
        blocks += [sonnets] if sonnets else []
    return blocks


def _learned(comparison: Comparison) -> list[Block]:
    """Of each run whose adapter has pictures of its own, what they show on average, on its first task."""
    blocks: list[Block] = []
    for run in comparison.runs:
        for entry in comparison.entries:
            own = entry.result.pictures.adapter
            if entry.run != run or own is None or not (own.splines or _chooses(own.attention)):
                continue
            key, name = f"{entry.result.task}-{comparison.runs.index(run)}", f"{entry.result.name} with {run}"
            if own.splines:
                blocks += splines.figures(key, name, own.splines)
            if _chooses(own.attention):
                blocks.append(attention.figures(key, name, own.attention)[-1])
            break
    if blocks:
        blocks.append(Prose(["One task of each run; the report of the run has the others."], quiet=True))
    return blocks


def _chooses(attention: AttentionPictures | None) -> bool:
    """Whether there are several kinds of edges to attend to."""
    return attention is not None and len({share.kind for share in attention.kinds}) > 1


def _no_failures(comparison: Comparison) -> str:
    unknown = []
    for group in comparison.groups:
        runs = [entry.run for entry in group.entries if entry.result.metrics.stalled == -1]
        if runs:
            unknown.append(f"for {enumerate_names(runs)} on {summary.place(comparison, group)}")
    if not unknown:
        return "No run collapsed or stalled."
    return f"No run collapsed or is known to have stalled. Too few epochs to tell: {'; '.join(unknown)}."


def _provenance(comparison: Comparison, command: str, data: str) -> list[Block]:
    entries = comparison.entries
    facts = [
        (name, tables.shared(entries, lambda entry, of=of: of(entry.card)))
        for name, of in provenance.FACTS.items()
        if name != "Made"  # differs for every run and task, and decides nothing
    ]
    made = provenance.commands((entry.run, entry.card) for entry in entries)
    return [
        Code(f"{command}\n\n# the runs, each with its parameters\n{made}"),
        Prose([provenance.data_in(data)]),
        Definitions("", facts),
    ]
