"""The comparison of runs as a page of summary and tables: for the terminal and for Markdown."""

from collections.abc import Mapping

from knotwork.report import provenance
from knotwork.report.comparison import summary, tables
from knotwork.report.comparison.contrasts import Comparison
from knotwork.report.elements import Block, Page, Prose, Section


def comparison_page(comparison: Comparison, same: Mapping[str, str]) -> Page:
    """Summary and tables.

    Args:
        comparison: the runs and their differences.
        same: runs that were left out, with the run whose files they share.
    """
    sections = [Section("results", "Results", [*tables.overview(comparison), Prose([tables.READING], quiet=True)])]
    for task, groups in comparison.tasks.items():
        blocks: list[Block] = []
        for group in groups:
            blocks += [tables.contrasts(comparison, group, measure) for measure in group.measures]
            blocks += filter(None, [tables.difficulty(comparison, group), tables.form(comparison, group)])
        sections.append(Section(f"task-{task}", groups[0].first.result.title, blocks))
    return Page(
        title=summary.title(comparison),
        facts=_facts(comparison),
        summary=summary.sentences(comparison),
        points=summary.winners(comparison),
        remarks=summary.remarks(comparison, same),
        notice=summary.notice(comparison),
        sections=sections,
    )


def _facts(comparison: Comparison) -> list[tuple[str, str]]:
    return [
        (name, "; ".join(tables.shared(comparison.entries, lambda entry, of=of: of(entry.card))))
        for name, of in provenance.SETTING.items()
    ]
