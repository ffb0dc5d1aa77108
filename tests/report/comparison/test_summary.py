import re

import pytest

from knotwork.report import formats
from knotwork.report.comparison import summary

from .study import Study, right_on

S = formats.SPACE


def test_the_summary_says_who_wins_where_by_how_much_and_what_is_open(three: Study) -> None:
    better, worse, open_ = summary.sentences(three.compare("lora", "full", "head"))
    assert better == ("Against lora, full is better on SST (+38.3 points) and in perplexity on the sonnets (−5.3).")
    assert worse.startswith("Against lora, head is worse in ")
    assert "in perplexity on the sonnets (+10.1)" in worse
    assert open_.startswith("3 of 7 differences may be chance (p above 0.05 after Holm’s correction); before that")
    assert open_.endswith(f" would have been found with a chance of 80{S}%.")
    assert "points on Quora" in open_


def test_one_open_difference(study: Study) -> None:
    study.classes("a", "sst", right_on(1))
    study.classes("b", "sst", right_on(1))
    assert summary.sentences(study.compare("a", "b")) == [
        "The difference may be chance (p above 0.05 after Holm’s correction)."
    ]


def test_all_significant(study: Study) -> None:
    study.classes("a", "sst", right_on(*range(30)))
    study.classes("b", "sst", right_on())
    found = summary.sentences(study.compare("a", "b"))
    assert found[-1] == "The difference is significant."


def test_many_runs_are_counted_and_stand_in_their_order(study: Study) -> None:
    study.classes("a", "sst", right_on(*range(40)))
    runs = [f"run{number}" for number in range(6)]
    for number, run in enumerate(runs):
        study.classes(run, "sst", right_on(*range(number)))
    comparison = study.compare("a", *runs)
    better, rest = summary.sentences(comparison)
    assert re.findall(r"run\d", better) == runs[:3]
    assert better.endswith("; so are 3 more runs.")
    assert rest == "All 6 differences are significant after Holm’s correction."
    assert summary.title(comparison) == "a against 6 other runs"


def test_many_scores_are_counted_too(study: Study) -> None:
    for task in ("sst", "cfimdb", "quora"):
        study.classes("a", task, right_on(*range(40)))
        study.classes("b", task, right_on(1))
    study.sonnets("a", 0.1, 3.0)
    study.sonnets("b", 0.9, 2.5)
    better, _ = summary.sentences(study.compare("a", "b"))
    assert re.findall(r"[+−]\d", better) == 3 * ["+6"]
    assert better.endswith("on Quora (+65.0 points) and in 2 more scores.")


def test_of_many_open_accuracies_the_least_and_the_greatest_are_said(study: Study) -> None:
    for apart, task in zip((8, 9, 10), ("sst", "cfimdb", "quora"), strict=True):
        study.classes("a", task, right_on(*range(20)))
        study.classes("b", task, right_on(*range(apart, 20 + apart)))
    (text,) = summary.sentences(study.compare("a", "b"))
    assert re.search(r"differences of \d+\.\d points on SST to \d+\.\d points on Quora would", text)


def test_nothing_matches(study: Study) -> None:
    study.classes("a", "sst", right_on(1))
    study.classes("b", "sst", right_on(2))
    study.change_card("b", "sst", base={"name": "gpt2", "sha256": "77" * 32}, selection="dev")
    comparison = study.compare("a", "b")
    assert summary.sentences(comparison) == ["No two runs match on any task, so no difference was tested."]
    assert summary.winners(comparison) == []
    notice = summary.notice(comparison)
    assert notice.points == [
        "On SST, b stands apart from a: another base (gpt2 77777777 instead of knotwork-base 5e5e5e5e) and another "
        "selection (dev instead of 0.1)."
    ]
    assert "kept apart" in notice.title


def test_the_same_reason_is_given_once_for_all_its_tasks(study: Study) -> None:
    for task in ("sst", "quora"):
        for run in ("a", "b", "c"):
            study.classes(run, task, right_on(ord(run) - 90))
        for run in ("b", "c"):
            study.change_card(run, task, prompt={"sha256": "ee" * 32})
    (point,) = summary.notice(study.compare("a", "b", "c")).points
    assert point == "On SST and Quora, b and c stand apart from a: another prompt (eeeeeeee instead of d4d4d4d4)."
    winners = summary.winners(study.compare("a", "b", "c"))
    assert [winner.split(":")[0] for winner in winners] == ["SST, group 2", "Quora, group 2"]


def test_runs_of_one_group_need_no_notice(three: Study) -> None:
    assert summary.notice(three.compare("lora", "full")) is None


def test_winners_come_with_interval_and_test(three: Study) -> None:
    sst, quora, chrf, perplexity = summary.winners(three.compare("lora", "full", "head"))
    assert sst.startswith(
        f"SST: full has the best accuracy, 88.3{S}% (95{S}% interval 83.3–93.3), +38.3 points from lora"
    )
    assert sst.endswith("p < 0.001 after Holm’s correction.")
    assert "p = 1.000" in quora
    assert chrf == "The sonnets: lora and full share the best chrF of generated lines, 46.5."
    assert perplexity.startswith("The sonnets: full has the best perplexity")


def test_the_best_may_be_the_first(study: Study) -> None:
    study.classes("a", "sst", right_on(1))
    study.classes("b", "sst", right_on(1, 2))
    (sst,) = summary.winners(study.compare("a", "b"))
    assert sst.endswith("it is the run that the others are held against.")


def test_two_differences_are_both(study: Study) -> None:
    for number, run in enumerate("abc"):
        study.classes(run, "sst", right_on(number))
    assert summary.sentences(study.compare("a", "b", "c"))[0].startswith("Both differences may be chance")


def remarks(study: Study, *runs: str, same: dict | None = None) -> str:
    return " ".join(summary.remarks(study.compare(*runs), same or {}))


def test_remarks_name_what_weakens_the_figures(study: Study) -> None:
    study.classes("a", "sst", right_on(1), right_on(2))
    study.classes("b", "sst", right_on(2), right_on(3))
    study.sonnets("b", 0.5, 3.0, hashed=True)
    text = remarks(study, "a", "b", same={"HEAD": "a"})
    assert "HEAD holds the same files as a and is shown once." in text
    assert "a has no results for the sonnets." in text
    assert "With one seed" in text  # the sonnets have one
    assert "could not be tested" not in text  # nothing to test them against
    assert "The paper’s figures stand beside ours for orientation only" in text
    study.sonnets("a", 0.4, 3.0, hashed=True)
    assert "chrF of generated lines on the sonnets could not be tested: scores.tsv holds hashes" in remarks(
        study, "a", "b"
    )


def test_runs_that_extrapolation_leaves_out_are_named(study: Study) -> None:
    for run, examples in (("old", 0), ("a", 20), ("b", 30), ("c", 30), ("d", 20)):
        study.classes(run, "sst", right_on(1))
        if examples:
            study.deeper(run, "sst", right_on(*range(20 if run == "d" else 0), examples=examples))
    comparison = study.compare("old", "a", "b", "c", "d")
    text = " ".join(summary.remarks(comparison, {}))
    assert "In extrapolation on SST, old has no results." in text
    assert "In extrapolation on SST, b and c answered other examples than a and are not compared with it." in text
    assert summary.winners(comparison)[1].startswith("SST: a has the best extrapolation accuracy")
    assert summary.sentences(comparison)[0] == "Against a, d is worse in extrapolation on SST (−100.0 points)."


def test_what_leaves_runs_out_on_two_tasks_is_said_once(study: Study) -> None:
    for run in ("old", "a"):
        for task in ("sst", "quora"):
            study.classes(run, task, right_on(1))
            if run == "a":
                study.deeper(run, task, right_on(1, examples=8))
    text = " ".join(summary.remarks(study.compare("old", "a"), {}))
    assert "In extrapolation on SST and Quora, old has no results." in text


@pytest.mark.parametrize(
    "change", [{"rows": {"train": 100}}, {"corpus": {"files": {"dev": "b2" * 32, "train": "x"}}}]
)
def test_other_training_rows_are_remarked(study: Study, change: dict) -> None:
    study.classes("a", "sst", right_on(1))
    study.classes("b", "sst", right_on(2))
    assert "different rows" not in remarks(study, "a", "b")
    study.change_card("b", "sst", **change)
    assert "trained on different rows on SST" in remarks(study, "a", "b")


def test_selection_on_dev_is_remarked_once(study: Study) -> None:
    for run in ("a", "b"):
        study.classes(run, "sst", right_on(ord(run) - 90))
        study.change_card(run, "sst", selection="dev")
    assert remarks(study, "a", "b").count("chosen on dev (the paper’s protocol) on SST:") == 1
