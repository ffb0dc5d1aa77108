import shutil

import pytest

from knotwork.files import read_json
from knotwork.report.comparison.examples import Answer, disagreements, sonnets

from ..conftest import GENERATED, OPENING, TRUTH
from .study import Study, right_on


def test_disagreements_are_sorted_by_how_far_the_runs_are_apart(study: Study) -> None:
    loss = [1.0] * 60
    study.classes("a", "sst", right_on(3, 7), nll=loss)
    study.classes("b", "sst", right_on(7, 11), nll=[*loss[:3], 1.5, *loss[4:11], 3.0, *loss[12:]])
    first, second = disagreements(study.compare("a", "b").groups[0])
    assert (first.id, second.id) == ("x11", "x3")
    assert first.spread == pytest.approx(2.0)
    assert second.gold == "positive"
    assert second.answers == [Answer("a", "very positive", ""), Answer("b", "positive", "")]


def test_an_answer_is_the_commonest_of_the_seeds(study: Study) -> None:
    study.classes("a", "sst", right_on(0), right_on(0), right_on())
    study.classes("b", "sst", right_on(), right_on(), right_on())
    (found,) = disagreements(study.compare("a", "b").groups[0])
    assert found.answers == [Answer("a", "negative", "2 of 3 seeds"), Answer("b", "very negative", "")]


def test_runs_that_answer_alike_disagree_nowhere(study: Study) -> None:
    study.classes("a", "sst", right_on(1))
    study.classes("b", "sst", right_on(1))
    assert disagreements(study.compare("a", "b").groups[0]) == []


def test_sonnets_stand_side_by_side(three: Study) -> None:
    block = sonnets(three.compare("lora", "full").groups[-1], 1)
    (sonnet,) = block.sonnets
    assert sonnet.opening == OPENING.split("\n")
    assert sonnet.versions == [("lora", GENERATED), ("full", GENERATED), ("True", TRUTH)]


def test_dev_and_test_may_number_their_sonnets_alike(three: Study, study: Study) -> None:
    for run in ("lora", "full"):
        shutil.copytree(three.root / run, study.root / run)
        pictures = read_json(study.root / run / "sonnet/pictures.json")
        other = {"id": "0", "opening": "Another\nopening\nof test", "generated": "Not this", "truth": None}
        study.results(run).write("sonnet", "pictures.json", {"examples": [*pictures["examples"], other]})
    block = sonnets(study.compare("lora", "full").groups[-1], 99)
    assert block.sonnets[0].versions[0] == ("lora", GENERATED)
    assert block.sonnets[-1].versions[0] == ("lora", ["Not this"])


def test_sonnets_that_not_all_runs_have_are_left_out(study: Study) -> None:
    study.sonnets("a", 0.2, 3.0)
    study.sonnets("b", 0.2, 3.0)
    study.results("b").write("sonnet", "pictures.json", {"examples": []})
    assert sonnets(study.compare("a", "b").groups[0], 1) is None
