import pytest

from knotwork.errors import UserError
from knotwork.report.comparison import summary
from knotwork.report.comparison.contrasts import ACCURACY, CHRF, EXTRAPOLATION, PERPLEXITY, compare_entries
from knotwork.significance import exact_mcnemar, holm, paired_difference, smallest_difference

from .study import Study, right_on


def test_accuracies_of_one_seed_are_tested_by_mcnemar(three: Study) -> None:
    comparison = three.compare("lora", "full", "head")
    contrast = comparison.tasks["sst"][0].contrast("full", ACCURACY)
    hits = [three.entry(run, "sst").scores.hits[0] for run in ("full", "lora")]
    assert contrast.test == "exact McNemar"
    assert contrast.p_value == exact_mcnemar(*hits)
    assert contrast.alone == (24, 1)
    assert contrast.difference.value == pytest.approx(23 / 60)
    assert contrast.difference.low < 23 / 60 < contrast.difference.high
    assert contrast.smallest == smallest_difference(60, 25 / 60)
    assert (contrast.run, contrast.first) == ("full", "lora")


def test_several_seeds_and_other_measures_are_tested_by_the_bootstrap(study: Study) -> None:
    study.classes("a", "sst", right_on(*range(30)), right_on(*range(28)))
    study.classes("b", "sst", right_on(*range(20)))
    study.sonnets("a", 0.2, 3.0)
    study.sonnets("b", 0.6, 2.9)
    comparison = study.compare("a", "b")
    accuracy, chrf, perplexity = comparison.contrasts
    assert [c.measure for c in comparison.contrasts] == [ACCURACY, CHRF, PERPLEXITY]
    assert {c.test for c in comparison.contrasts} == {"paired bootstrap"}
    assert accuracy.alone is None
    scores = [study.entry(run, "sst").scores.accuracy() for run in ("b", "a")]
    assert (accuracy.difference, accuracy.p_value) == paired_difference(*scores)
    # 1.96 + 0.84 standard errors, and the interval is 2 x 1.96 of them wide.
    width = accuracy.difference.high - accuracy.difference.low
    assert accuracy.smallest == pytest.approx(width * (1.96 + 0.8416) / (2 * 1.96), rel=1e-3)
    assert chrf.difference.value > 0 > perplexity.difference.value
    assert chrf.verdict == perplexity.verdict == "better"


def test_extrapolation_is_tested_as_dev_is(study: Study) -> None:
    for run, wrong in (("a", 24), ("b", 4)):
        study.classes(run, "sst", right_on(*range(wrong)))
        study.deeper(run, "sst", right_on(*range(30 - wrong), examples=40))
    dev, deeper = study.compare("a", "b").contrasts
    assert (dev.measure, deeper.measure) == (ACCURACY, EXTRAPOLATION)
    hits = [study.entry(run, "sst").splits["extrapolation"].hits[0] for run in ("b", "a")]
    assert (deeper.test, deeper.p_value) == ("exact McNemar", exact_mcnemar(*hits))
    assert deeper.alone == (0, 20)
    assert deeper.smallest == smallest_difference(40, 20 / 40)
    assert (dev.verdict, deeper.verdict) == ("better", "worse")
    assert [dev.adjusted, deeper.adjusted] == holm([dev.p_value, deeper.p_value])
    study.classes("c", "sst", right_on(1), right_on(2))
    study.deeper("c", "sst", right_on(1, examples=40), right_on(examples=40))
    _, deeper = study.compare("a", "c").contrasts
    scores = [study.entry(run, "sst").splits["extrapolation"].accuracy() for run in ("c", "a")]
    assert deeper.test == "paired bootstrap"
    assert (deeper.difference, deeper.p_value) == paired_difference(*scores)


def test_formulas_are_drawn_by_the_group(study: Study) -> None:
    """Whoever answers all rows of a group alike has half of them right, always: no chance is in that."""
    names = [f"1-{index // 4:04d}{'abcd'[index % 4]}" for index in range(60)]
    study.classes("alike", "symbolic", right_on(*range(0, 60, 2)), names=names)
    study.classes("other", "symbolic", right_on(*range(1, 60, 2)), names=names)
    study.classes("chance", "symbolic", right_on(*range(30)), names=names)
    alike, chance = study.compare("alike", "other", "chance").contrasts
    assert {contrast.test for contrast in (alike, chance)} == {"paired bootstrap"}
    assert alike.difference == (0, 0, 0)
    assert (alike.p_value, alike.smallest) == (1, None)
    # All right in 7 groups, half right in one, none right in 7: the groups' standard deviation over their root.
    width = chance.difference.high - chance.difference.low
    assert width == pytest.approx(2 * 1.96 * (14 * 0.25 / 15) ** 0.5 / 15**0.5, rel=0.05)


def test_a_task_of_another_version_is_compared(study: Study) -> None:
    for run, wrong in (("a", 24), ("b", 4)):
        study.classes(run, "sst", right_on(*range(wrong)))
        (study.root / run / "sst").rename(study.root / run / "mytask")
        study.change_card(run, "mytask", task="mytask")
    comparison = compare_entries(["a", "b"], [study.entry(run, "mytask") for run in ("a", "b")])
    assert [contrast.test for contrast in comparison.contrasts] == ["exact McNemar"]


def test_runs_without_deeper_formulas_are_compared_on_dev(study: Study) -> None:
    for number, run in enumerate(("old", "a", "b")):
        study.classes(run, "sst", right_on(number))
    for number, run in enumerate(("a", "b")):
        study.deeper(run, "sst", right_on(number, examples=8))
    (group,) = study.compare("old", "a", "b").groups
    assert [(c.measure, c.first, c.run) for c in group.contrasts] == [
        (ACCURACY, "old", "a"),
        (ACCURACY, "old", "b"),
        (EXTRAPOLATION, "a", "b"),
    ]


@pytest.mark.parametrize("changed", [{"id": "3-0000a"}, {"text_hash": "x"}, {"gold": "1", "prediction": "1"}, {}])
def test_other_deeper_formulas_are_not_compared(study: Study, changed: dict) -> None:
    for run in ("a", "b", "c"):
        study.classes(run, "sst", right_on(1))
        study.deeper(run, "sst", right_on(examples=8 if changed or run != "b" else 9))
    if changed:
        study.change_scores("b", "sst", 61, **changed)
    (group,) = study.compare("a", "b", "c").groups
    assert [entry.run for entry in group.compared(ACCURACY)] == ["a", "b", "c"]
    assert [entry.run for entry in group.compared(EXTRAPOLATION)] == ["a", "c"]
    assert [c.run for c in group.contrasts if c.measure is EXTRAPOLATION] == ["c"]


def test_a_score_without_its_answers_is_one_line(study: Study) -> None:
    for run in ("a", "b"):
        study.classes(run, "sst", right_on(1))
    study.results("b").change("sst", "metrics.json", extrapolation_accuracy=0.5)
    with pytest.raises(UserError, match=r"^b, sst: scores.tsv holds no extrapolation rows, metrics[^\n]*$"):
        study.compare("a", "b")


def test_p_values_are_corrected_over_tasks_and_runs(three: Study) -> None:
    contrasts = three.compare("lora", "full", "head").contrasts
    assert len(contrasts) == 7
    assert [c.adjusted for c in contrasts] == holm([c.p_value for c in contrasts])
    assert any(c.adjusted > c.p_value for c in contrasts)


def test_verdicts_follow_the_corrected_value_and_the_better_direction(three: Study) -> None:
    comparison = three.compare("lora", "full", "head")
    verdicts = {(c.task, c.run, c.measure.key): c.verdict for c in comparison.contrasts}
    assert verdicts["sst", "full", "accuracy"] == "better"
    assert verdicts["sst", "head", "accuracy"] == "open"
    assert verdicts["sonnet", "full", "perplexity"] == "better"
    assert verdicts["sonnet", "head", "perplexity"] == "worse"


def test_runs_that_answer_alike_show_nothing(study: Study) -> None:
    study.classes("a", "sst", right_on(1))
    study.classes("b", "sst", right_on(1), adapter="full")
    (contrast,) = study.compare("a", "b").contrasts
    assert (contrast.p_value, contrast.alone, contrast.smallest) == (1.0, (0, 0), None)


def test_too_few_examples_that_differ_to_say(study: Study) -> None:
    study.classes("a", "sst", right_on(1))
    study.classes("b", "sst", right_on(2))
    (contrast,) = study.compare("a", "b").contrasts
    assert contrast.alone == (1, 1)
    assert contrast.smallest is None


@pytest.mark.parametrize(
    "change",
    [
        {"corpus": {"manifest": "sample", "files": {"train": "a1" * 32, "dev": "other", "test": None}}},
        {"prompt": {"template": "{0}", "sha256": "other"}},
        {"base": {"sha256": "other"}},
        {"selection": "dev"},
        {"chrf_signature": "chrF2", "parameters": {"evaluate.generation.best_of": 4}},
        {"selection": "0.25"},
    ],
)
def test_runs_that_do_not_match_are_kept_apart(study: Study, change: dict) -> None:
    for run in ("a", "b", "c"):
        study.classes(run, "sst", right_on(*range(ord(run) - 90)))
    study.change_card("b", "sst", **change)
    comparison = study.compare("a", "b", "c")
    assert [[entry.run for entry in group.entries] for group in comparison.groups] == [["a", "c"], ["b"]]
    assert [(c.first, c.run) for c in comparison.contrasts] == [("a", "c")]


def test_sonnets_that_were_sampled_otherwise_are_kept_apart(study: Study) -> None:
    """The temperature alone changes chrF; of classes nothing is sampled."""
    colder = {"parameters": {"evaluate.generation.temperature": 0.5}}
    for run in ("a", "b"):
        study.classes(run, "sst", right_on(1))
        study.sonnets(run, 0.5, 3.0)
        study.change_card(run, "sonnet", chrf_signature="chrF2")
    study.change_card("b", "sst", **colder)
    study.change_card("b", "sonnet", **colder)
    comparison = study.compare("a", "b")
    assert {task: len(groups) for task, groups in comparison.tasks.items()} == {"sst": 1, "sonnet": 2}
    [told] = summary.notice(comparison).points
    assert "another sampling (one text an opening, temperature 0.5 instead of one text an opening" in told
    assert summary.notice(comparison).advice.endswith("same dev file, prompt, base, selection and sampling.")


@pytest.mark.parametrize("change", [{"answer": "words"}, {"adapter": "kan"}, {"rows": {"train": 100}}])
def test_what_is_to_be_compared_may_differ(study: Study, change: dict) -> None:
    study.classes("a", "sst", right_on(1))
    study.classes("b", "sst", right_on(2))
    study.change_card("b", "sst", **change)
    assert len(study.compare("a", "b").groups) == 1


def test_other_groups_have_a_first_run_of_their_own(study: Study) -> None:
    for run in ("a", "b", "c", "d"):
        study.classes(run, "sst", right_on(*range(ord(run) - 90)))
    for run in ("c", "d"):
        study.change_card(run, "sst", base={"sha256": "other"})
    assert [(c.first, c.run) for c in study.compare("a", "b", "c", "d").contrasts] == [("a", "b"), ("c", "d")]


@pytest.mark.parametrize("changed", ["id", "text_hash", "gold"])
def test_different_examples_are_one_line(study: Study, changed: str) -> None:
    study.classes("a", "sst", right_on(5))
    study.classes("b", "sst", right_on(5))
    study.change_scores("b", "sst", 3, **{changed: "4"})
    with pytest.raises(
        UserError, match=r"a and b, sst: the dev examples differ \(example x3, .* and example"
    ) as error:
        study.compare("a", "b")
    assert "\n" not in str(error.value)


def test_another_count_of_examples_is_one_line(study: Study) -> None:
    study.classes("a", "sst", right_on())
    study.classes("b", "sst", right_on(examples=59))
    with pytest.raises(UserError, match="60 and 59 of them"):
        study.compare("a", "b")


def test_scores_of_another_run_are_noticed(study: Study) -> None:
    study.classes("a", "sst", right_on(1))
    study.classes("b", "sst", right_on(2))
    study.results("b").change("sst", "metrics.json", accuracy=0.9)
    with pytest.raises(UserError, match=r"b, sst: scores.tsv gives accuracy 0.983333, metrics.json 0.9; they"):
        study.compare("a", "b")


def test_hashed_sonnets_are_compared_in_perplexity_alone(study: Study) -> None:
    study.sonnets("a", 0.2, 3.0, hashed=True)
    study.sonnets("b", 0.6, 2.9)
    assert [c.measure for c in study.compare("a", "b").contrasts] == [PERPLEXITY]


def test_a_run_may_lack_a_task(study: Study) -> None:
    study.classes("a", "sst", right_on(1))
    study.classes("b", "sst", right_on(2))
    study.classes("b", "quora", right_on(2))
    comparison = study.compare("a", "b")
    assert list(comparison.tasks) == ["sst", "quora"]
    assert comparison.tasks["quora"][0].first.run == "b"
