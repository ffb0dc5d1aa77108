"""studies.yaml: what it declares, in which order, and what is said of mistakes."""

import re
from pathlib import Path

import pytest
import yaml

from knotwork.errors import UserError
from knotwork.identity import base_identity
from knotwork.params import TASKS
from knotwork.study.declaration import agrees, cells, load_study, parameters, read_recipe, selected, with_settings

REPOSITORY = Path(__file__).parents[2]
BASE = base_identity("assets/base", None)

TWO = {
    "recipe": "local",
    "cells": {"head": {"adapter": "head"}, "lora": {"adapter": "lora"}},
    "groups": {
        "pair": {"about": "Both", "tasks": ["sst", "quora"], "seeds": [1, 2], "cells": ["lora", "head"]},
        "rows": {
            "about": "Fewer rows",
            "tasks": ["sst"],
            "seeds": [1],
            "cells": ["lora", "head"],
            "vary": {"all": {}, "few": {"corpus.max_rows.sst": 100}},
            "figures": ["base"],
        },
    },
}


def committed():
    return yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def declare(tmp_path):
    def write(change=lambda values: None):
        values = yaml.safe_load(yaml.safe_dump(TWO))
        change(values)
        (tmp_path / "studies.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        return load_study(tmp_path / "studies.yaml")

    return write


def test_a_task_is_finished_before_the_next_and_a_group_too(declare):
    names = [cell.name for cell in cells(declare())]
    assert names == [
        *("pair/lora/sst", "pair/head/sst", "pair/lora/quora", "pair/head/quora"),
        *("rows/lora-all/sst", "rows/head-all/sst", "rows/lora-few/sst", "rows/head-few/sst"),
    ]


def test_a_variation_overrides_its_cell(declare):
    study = declare(lambda values: values["cells"]["lora"].update({"corpus.max_rows.sst": 7}))
    found = {cell.name: cell.settings for cell in cells(study)}
    assert found["rows/lora-few/sst"] == {
        "adapter": "lora",
        "corpus.max_rows.sst": 100,
        "tasks": ["sst"],
        "seeds": [1],
    }
    assert found["pair/lora/sst"]["corpus.max_rows.sst"] == 7
    assert found["pair/lora/quora"]["seeds"] == [1, 2]


def test_a_run_is_outdated_when_what_decided_it_has_changed(declare):
    values = committed()
    [few] = selected(cells(declare()), ["rows/lora-few/sst"])
    decided = {
        "lora.r": 16,
        "lora.alpha": 32.0,
        "corpus.max_rows.sst": 100,
        "task": "sst",
        "corpus.files": {"a": "b"},
        "base.sha256": BASE["sha256"],
    }
    card = {"settings": few.settings, "parameters": decided}
    assert agrees(card, few, values)
    assert agrees(card, few, with_settings(values, {"kan.r": 3}))  # decided nothing here
    assert not agrees(card, few, with_settings(values, {"lora.r": 3}))
    assert not agrees(card | {"settings": few.settings | {"graphs.control": "empty"}}, few, values)
    assert not agrees({"parameters": decided}, few, values)
    assert not agrees(card | {"parameters": decided | {"base.sha256": "of other weights there"}}, few, values)


@pytest.mark.parametrize(
    "key, value",
    [
        ("corpus.manifest", "cs224n"),
        ("base.path", "assets/base-tiny"),
        ("base.revision", 40 * "a"),
        ("graphs.edges", ["sequence"]),
        ("graphs.control", "empty"),
    ],
)
def test_a_run_is_outdated_when_its_corpus_base_or_graphs_have_changed(declare, key, value):
    """Of these the parameters that decided it hold hashes alone."""
    values = committed()
    [few] = selected(cells(declare()), ["rows/lora-few/sst"])
    card = {
        "settings": few.settings,
        "parameters": {"lora.r": 16, "graphs.files": {"train": "a"}, "base.sha256": BASE["sha256"]},
        "corpus": {"manifest": "sample", "files": {"train": "c"}},
        "base": BASE,
        "graphs": values["graphs"],
    }
    assert agrees(card, few, values)
    assert not agrees(card, few, with_settings(values, {key: value}))
    if key.startswith("graphs"):
        assert agrees(card | {"graphs": None}, few, with_settings(values, {key: value}))  # an adapter without any


def test_a_run_of_multitask_is_judged_by_all_its_members(declare):
    study = declare(lambda values: values["groups"]["pair"].update(tasks=["multitask"]))
    values, [both] = committed(), selected(cells(study), ["pair/lora/multitask"])
    members = [{"card": {"parameters": {"lora.r": 16, f"answer.{task}": "score"}}} for task in ("sst", "quora")]
    card = {"settings": both.settings, "members": members}
    assert agrees(card, both, values)
    assert not agrees(card, both, with_settings(values, {"lora.r": 3}))
    assert not agrees(card, both, with_settings(values, {"answer.quora": "words"}))


def test_a_base_of_ones_own_joins_the_group_that_is_about_sizes(declare, tmp_path):
    mine = tmp_path / "My base"
    mine.mkdir()
    found = {cell.name: cell.settings for cell in cells(declare(), [str(mine), "hub/gpt2-xl@abc"])}
    assert found["rows/lora-my-base/sst"]["base.path"] == str(mine)
    assert found["rows/lora-gpt2-xl/sst"]["base.path"] == "hub/gpt2-xl"
    assert found["rows/lora-gpt2-xl/sst"]["base.revision"] == "abc"
    assert not any("gpt2" in name for name in found if name.startswith("pair"))


def test_a_run_on_a_base_of_ones_own_knows_how_it_was_asked_for(declare):
    asked = {cell.name: cell.base for cell in cells(declare(), ["hub/gpt2-xl@abc"]) if cell.base}
    assert asked == {f"rows/{cell}-gpt2-xl/sst": "hub/gpt2-xl@abc" for cell in ("lora", "head")}


def test_two_runs_of_one_name_are_refused(declare):
    """They would be kept in one place, each in turn outdated by the other."""

    def change(values):
        values["cells"]["lora-few"] = {"adapter": "lora"}
        values["groups"]["rows"] |= {"cells": ["lora", "lora-few"], "vary": {"few-all": {}, "all": {}}}

    with pytest.raises(UserError, match="two runs are called rows/lora-few-all/sst; give a cell or a variation"):
        cells(declare(change))
    for bases in (["hub/few"], ["hub/gpt2@abc", "other/gpt2@def"]):
        with pytest.raises(UserError, match=f"--base {bases[-1]}: rows has another base called"):
            cells(declare(), bases)


@pytest.mark.parametrize(
    "name, count",
    [("pair", 4), ("sst", 6), ("lora", 4), ("pair/sst", 2), ("rows/lora-few/sst", 1), ("few", 2), ("head-all", 1)],
)
def test_cells_are_called_by_their_parts(declare, name, count):
    assert len(selected(cells(declare()), [name])) == count


def test_a_whole_name_calls_one_cell_in_a_group_called_as_a_task(declare):
    def change(values):
        values["groups"]["quora"] = values["groups"].pop("pair")

    declared = cells(declare(change))
    assert [cell.name for cell in selected(declared, ["quora/lora/quora"])] == ["quora/lora/quora"]
    assert len(selected(declared, ["quora/lora"])) == 2


def test_a_name_that_calls_nothing_is_an_error(declare):
    with pytest.raises(UserError, match=r"--only pair/lroa/sst: calls no cell; did you mean 'pair/lora/sst'\?"):
        selected(cells(declare()), ["sst", "pair/lroa/sst"])


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("cells", ["lora", "haed"], "groups.pair.cells: no cell is called 'haed'; did you mean 'head'?"),
        ("cells", [], "groups.pair.cells: list should have at least 1 item"),
        ("seeds", None, "groups.pair.seeds: input should be a valid list"),
        ("figures", ["colour"], "groups.pair.figures.0: input should be"),
        ("sedes", [1], "groups.pair.sedes: extra inputs are not permitted"),
    ],
)
def test_a_mistake_in_the_declaration_is_one_line(declare, key, value, message):
    with pytest.raises(UserError) as raised:
        declare(lambda values: values["groups"]["pair"].update({key: value}))
    assert message in str(raised.value)
    assert "studies.yaml" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_sweep_is_of_one_task(declare):
    wrong = {
        "about": "Ranks",
        "task": "multitask",
        "seeds": [1],
        "settings": {},
        "grids": {"rank": {"lora.r": [2]}},
    }
    with pytest.raises(UserError, match=r"sweeps\.rank\.task: multitask has a score for each member"):
        declare(lambda values: values.update(sweeps={"rank": wrong}))


def test_a_setting_that_is_no_parameter_is_an_error():
    values = {"lora": {"r": 4}}
    assert with_settings(values, {"lora.r": 8}) == {"lora": {"r": 8}}
    assert values == {"lora": {"r": 4}}
    for key in ("lora.rank", "lora.r.x", "lroa.r"):
        with pytest.raises(UserError, match=f"has no {re.escape(key)}"):
            with_settings(values, {key: 1})


def test_recipes_are_read_as_settings(tmp_path):
    (tmp_path / "mine").write_text("-S a.b=1.5\n-S c=[x,y]\n", encoding="utf-8")
    assert read_recipe(tmp_path / "mine") == {"a.b": 1.5, "c": ["x", "y"]}
    with pytest.raises(UserError, match=r"mines: no such recipe; did you mean 'mine'\?"):
        read_recipe(tmp_path / "mines")
    (tmp_path / "mine").write_text("-S a.b", encoding="utf-8")
    with pytest.raises(UserError, match=r"'a\.b' is no setting"):
        read_recipe(tmp_path / "mine")
    (tmp_path / "mine").write_text("-S a.b=[1", encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.b='\[1' has no readable value"):
        read_recipe(tmp_path / "mine")


def test_everything_that_is_declared_is_allowed():
    """All of the committed declaration, as far as its tasks are known."""
    study = load_study(REPOSITORY / "studies.yaml")
    values = with_settings(committed(), read_recipe(REPOSITORY / "recipes" / study.recipe))
    declared = cells(study)
    assert len({cell.name for cell in declared}) == len(declared)
    for cell in declared:
        if cell.task in TASKS:
            assert parameters(values, cell).tasks == [cell.task]
    adapters = [cell for cell in declared if cell.group == "adapters"]
    assert len(adapters) == 5 * 4
    assert {cell.task for cell in adapters[:5]} == {"sst"}
