import pytest

from knotwork.report import formats
from knotwork.report.comparison import tables
from knotwork.report.comparison.contrasts import ACCURACY, CHRF, PERPLEXITY
from knotwork.report.comparison.examples import disagreements
from knotwork.report.elements import Cell, Table

from ..conftest import verse
from .study import Study, right_on

S = formats.SPACE


def column(table: Table, name: str) -> list[Cell]:
    return [row[table.head.index(name)] for row in table.rows]


def test_the_overview_has_a_row_per_run_and_a_column_per_measure(three: Study) -> None:
    (table,) = tables.overview(three.compare("lora", "full", "head"))
    assert column(table, "Run") == [
        Cell("lora", "LoRA"),
        Cell("full", "full fine-tuning"),
        Cell("head", "the head alone"),
    ]
    cells = column(table, "SST, accuracy")
    assert [cell.text for cell in cells] == [f"50.0{S}%", f"88.3{S}%", f"53.3{S}%"]
    assert [cell.below for cell in cells] == ["", "+38.3, better", "+3.3"]
    assert column(table, "Quora, accuracy")[2] == Cell("–")
    assert column(table, "The sonnets, perplexity")[2].below == "+10.1, worse"
    assert "over 7 tests" in table.caption


def test_the_overviews_whiskers_share_a_scale_and_a_line_at_the_first_run(three: Study) -> None:
    (table,) = tables.overview(three.compare("lora", "full", "head"))
    lora, full, head = (cell.whisker for cell in column(table, "SST, accuracy"))
    # Accuracies of 50.0, 88.3 and 53.3 %, each with an interval of 5 points to either side.
    width = 100 * 23 / 60 + 10
    assert (lora.low, full.high) == (0, 1)
    assert lora.against == full.against == head.against == lora.value == pytest.approx(5 / width)
    assert head.value == pytest.approx((5 + 100 * 2 / 60) / width)
    assert [whisker.hollow for whisker in (lora, full, head)] == [False, False, True]
    assert head.alt == f"95{S}% interval 48.3–58.3"


def test_many_scores_share_out_over_several_overviews(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_COLUMNS", 2)
    for run in ("a", "b"):
        for task in ("sst", "cfimdb", "quora"):
            study.classes(run, task, right_on(len(task)))
    found = tables.overview(study.compare("a", "b"))
    assert [table.head for table in found] == [
        ("Run", "SST, accuracy", "CFIMDB, accuracy"),
        ("Run", "Quora, accuracy"),
    ]


def test_the_overview_numbers_other_groups(study: Study) -> None:
    for run in ("a", "b"):
        study.classes(run, "sst", right_on(1))
    study.change_card("b", "sst", base={"sha256": "other"})
    (table,) = tables.overview(study.compare("a", "b"))
    assert [cell.below for cell in column(table, "SST, accuracy")] == ["", "group 2"]


def test_contrasts_of_accuracies(three: Study) -> None:
    comparison = three.compare("lora", "full", "head")
    table = tables.contrasts(comparison, comparison.tasks["sst"][0], ACCURACY)
    runs = [cell.text for cell in column(table, "Run")]
    assert runs == ["lora", "full", "head", "Largest class", "Bag of words, same rows", "The paper’s"]
    contrast = comparison.tasks["sst"][0].contrast("full", ACCURACY)
    assert column(table, "Accuracy")[1] == Cell(f"88.3{S}%", "83.3–93.3")
    low, high = 100 * contrast.difference.low, 100 * contrast.difference.high
    assert column(table, "Difference, points")[:2] == [Cell("–"), Cell("+38.3", f"+{low:.1f} to +{high:.1f}")]
    assert column(table, "p, Holm")[:2] == [Cell("–"), Cell("< 0.001", "24 : 1")]
    assert column(table, "Smallest difference")[1] == Cell(f"{100 * contrast.smallest:.1f}")
    assert column(table, "Trained parameters")[0] == Cell("589,824", "+ 1,280 head")
    assert column(table, "Training, memory")[0] == Cell(f"41.3{S}s", f"912{S}MB")
    assert column(table, "Accuracy")[3:] == [Cell(f"26.5{S}%"), Cell(f"40.5{S}%"), Cell(f"55.2{S}%", "test")]
    assert table.caption == "SST: accuracy on 60 dev examples; differences are from lora."


def test_extrapolation_has_a_table_as_dev_has(study: Study) -> None:
    for run, wrong in (("a", 3), ("b", 9)):
        study.classes(run, "sst", right_on(*range(30)))
        study.deeper(run, "sst", right_on(*range(wrong), examples=20))
    study.results("b").change("sst", "metrics.json", baseline_tokens=0.49)
    comparison = study.compare("a", "b")
    (group,) = comparison.groups
    dev, deeper = (tables.contrasts(comparison, group, measure) for measure in group.measures)
    place = [cell.text for cell in column(dev, "Run")].index("Bag of tokens")
    assert column(dev, "Accuracy")[place] == Cell(f"49.0{S}%")
    assert "Trained parameters" in dev.head
    assert [cell.text for cell in column(deeper, "Run")] == ["a", "b"]
    assert column(deeper, "Extrapolation accuracy")[1] == Cell(f"55.0{S}%", "50.0–60.0")
    assert column(deeper, "Difference, points")[1].text == "−30.0"
    assert column(deeper, "p, Holm")[1].below == "0 : 6"
    assert deeper.caption == (
        "SST: extrapolation accuracy on 20 formulas deeper than any that was trained on; differences are from a."
    )


def test_the_overview_says_who_has_no_extrapolation_or_another(study: Study) -> None:
    for run, examples in (("old", 0), ("a", 20), ("b", 20), ("c", 24)):
        study.classes(run, "sst", right_on(1))
        if examples:
            study.deeper(run, "sst", right_on(*range(5), examples=examples))
    (table,) = tables.overview(study.compare("old", "a", "b", "c"))
    old, first, same, other = column(table, "SST, extrapolation accuracy")
    assert old == Cell("–")
    assert (first.text, first.below, same.below) == (f"75.0{S}%", "", "0.0")
    assert other.below == "other examples"
    assert (other.whisker.against, other.whisker.hollow) == (other.whisker.value, False)


def test_levels_of_difficulty_stand_beside_the_change_on_extrapolation(study: Study) -> None:
    for run in ("old", "a", "b"):
        study.classes(run, "sst", right_on(*range(30)))
    comparison = study.compare("old", "a", "b")
    assert tables.difficulty(comparison, comparison.groups[0]) is None
    study.deeper("a", "sst", right_on(*range(8), examples=20))
    for run in ("a", "b"):
        study.results(run).change("sst", "metrics.json", accuracy_level_1=0.7, accuracy_level_2=0.5)
        study.change_card(run, "sst", levels={"1": 30, "2": 30})
    comparison = study.compare("old", "a", "b")
    table = tables.difficulty(comparison, comparison.groups[0])
    assert [cell.text for cell in column(table, "Run")] == ["a", "b"]
    assert column(table, "Level 2")[0] == Cell(f"50.0{S}%", "30 rows")
    assert [cell.text for cell in column(table, "Extrapolation against dev, points")] == ["+10.0", "–"]


def test_contrasts_of_sonnets(three: Study) -> None:
    comparison = three.compare("lora", "full", "head")
    group = comparison.tasks["sonnet"][0]
    chrf = tables.contrasts(comparison, group, CHRF)
    assert column(chrf, "chrF of whole sonnets")[0] == Cell("41.9", "40.6–43.1")
    assert column(chrf, "chrF of whole sonnets")[-2:] == [Cell("41.5"), Cell("42.1")]
    assert "Trained parameters" not in chrf.head
    perplexity = tables.contrasts(comparison, group, PERPLEXITY)
    assert "Trained parameters" in perplexity.head
    assert perplexity.caption.endswith("Less is better.")
    assert len(perplexity.rows) == 3


def test_the_form_of_sonnets_is_shown_untested(study: Study) -> None:
    for run in ("a", "b", "old"):
        study.sonnets(run, 0.3, 3.0)
    comparison = study.compare("a", "b", "old")
    assert tables.form(comparison, comparison.groups[0]) is None
    for run, share in (("a", 0.2), ("b", 0.4)):
        results = study.results(run)
        results.change("sonnet", "card.json", verse={"run": verse(share, 0.01), "true": verse(0.95, 0.93)})
        results.change(
            "sonnet", "metrics.json", baseline_zero_shot_chrf_generated=17.0, baseline_zero_shot_chrf_whole=35.0
        )
    comparison = study.compare("a", "b", "old")
    table = tables.form(comparison, comparison.groups[0])
    assert [cell.text for cell in column(table, "Run")] == ["a", "b", "True sonnets"]
    assert [cell.text for cell in column(table, "Lines of ten syllables")] == [f"{n}.0{S}%" for n in (20, 40, 95)]
    chrf = tables.contrasts(comparison, comparison.groups[0], CHRF)
    (base,) = [row for row in chrf.rows if row[0].text == "Untrained base"]
    assert [cell.text for cell in base if cell.text] == ["Untrained base", "17.0", "35.0"]


def test_what_could_not_be_tested_is_said(study: Study) -> None:
    study.sonnets("a", 0.2, 3.0, hashed=True)
    study.sonnets("b", 0.6, 2.9, hashed=True)
    comparison = study.compare("a", "b")
    table = tables.contrasts(comparison, comparison.groups[0], CHRF)
    assert column(table, "p, Holm")[:2] == [Cell("–"), Cell("–", "not tested")]


def test_seeds_and_protocol_stand_below_the_run(study: Study) -> None:
    for run in ("a", "b"):
        study.classes(run, "sst", right_on(1), right_on(2))
        study.change_card(run, "sst", selection="dev")
    comparison = study.compare("a", "b")
    table = tables.contrasts(comparison, comparison.groups[0], ACCURACY)
    assert column(table, "Run")[0] == Cell("a", "LoRA, 2 seeds, chosen on dev")
    assert column(table, "Accuracy")[0].below.endswith(", SD 1.2")


def test_baselines_that_differ_are_all_there(study: Study) -> None:
    for run, words in (("a", 0.4), ("b", 0.5)):
        study.classes(run, "sst", right_on(1))
        study.results(run).change("sst", "metrics.json", baseline_tfidf=words, baseline_zero_shot=words)
    comparison = study.compare("a", "b")
    table = tables.contrasts(comparison, comparison.groups[0], ACCURACY)
    assert column(table, "Run")[3:5] == [
        Cell("Bag of words, same rows", "on the rows of a"),
        Cell("Bag of words, same rows", "on the rows of b"),
    ]
    assert column(table, "Run")[5:7] == [Cell("Untrained base", "beside a"), Cell("Untrained base", "beside b")]


def test_failures_name_run_and_task(study: Study) -> None:
    study.classes("a", "sst", right_on(1))
    study.classes("b", "sst", right_on(2))
    assert tables.failures(study.compare("a", "b")) is None
    seed = study.entry("b", "sst").card.per_seed[0].model_dump() | {"collapse": "yes", "reasons": ["one class"]}
    study.change_card("b", "sst", per_seed=[seed])
    table = tables.failures(study.compare("a", "b"))
    assert [cell.text for cell in table.rows[0]] == ["b", "SST", "no", "yes", "one class"]


def test_disagreements_group_the_runs_by_answer(three: Study) -> None:
    comparison = three.compare("lora", "full", "head")
    group = comparison.tasks["sst"][0]
    found = disagreements(group)
    table = tables.disagreements(
        comparison, group, found[:2], len(found), {found[0].text_hash: 30 * "a long text\n"}
    )
    assert len(table.rows) == 2
    known, unknown = column(table, "Example")
    assert known.below == found[0].id
    assert known.text.startswith("a long text | a long text | ")
    assert known.text.endswith(" …")
    assert len(known.text) <= tables.TEXT
    assert unknown == Cell(found[1].id)
    answers = column(table, "Answers")[0].text.split("; ")
    assert len(answers) == 2
    assert sorted(run for answer in answers for run in answer.split(": ")[1].split(", ")) == [
        "full",
        "head",
        "lora",
    ]
    assert "differ most in the log-probability of the true class. They differ on 25 of 60" in table.caption


def test_parameters_that_differ_or_that_only_some_have(study: Study) -> None:
    for run in ("a", "b"):
        for task in ("sst", "quora"):
            study.classes(run, task, right_on(1))
    study.change_card("b", "sst", parameters={"lora.r": 4, "kan.grid_size": 5})
    study.change_card("b", "quora", parameters={"lora.r": 4})
    groups = tables.differing_parameters(study.compare("a", "b"))
    shown = {f"{group.title}.{key}": values for group in groups for key, values in group.entries}
    assert shown == {"lora.r": ["a: 16", "b: 4"], "kan, of b.grid_size": ["5"]}


@pytest.mark.parametrize(
    "values, expected",
    [
        ({}, ["x"]),
        ({("a", "sst"): "y", ("b", "sst"): "y"}, ["sst: y", "quora: x"]),
        ({("b", "sst"): "y", ("b", "quora"): "y"}, ["a: x", "b: y"]),
        ({("b", "sst"): "y"}, ["a on sst, a and b on quora: x", "b on sst: y"]),
    ],
)
def test_shared_values_name_what_decides_them(study: Study, values: dict, expected: list[str]) -> None:
    for run in ("a", "b"):
        for task in ("sst", "quora"):
            study.classes(run, task, right_on(1))
    entries = study.compare("a", "b").entries
    assert tables.shared(entries, lambda e: values.get((e.run, e.result.task), "x")) == expected
