"""Recipes: files of ``-S`` settings, complete, so that one may follow another."""

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from knotwork.corpora import manifest
from knotwork.params import ADAPTERS, Params, load_params

REPOSITORY = Path(__file__).parents[1]
RECIPES = sorted(path.name for path in (REPOSITORY / "recipes").iterdir())
# What a run without a GPU changes of the committed parameters.
LOCAL = {
    "train.precision",
    "corpus.manifest",
    "corpus.max_rows.quora",
    "train.epochs.sst",
    "train.epochs.sonnet",
    "train.epochs.multitask",
}


def settings(recipe: str) -> list[str]:
    """The ``key=value`` of a recipe."""
    words = shlex.split((REPOSITORY / "recipes" / recipe).read_text(encoding="utf-8"))
    assert words[::2] == ["-S"] * (len(words) // 2)
    return words[1::2]


def keys(recipe: str) -> list[str]:
    return [setting.split("=", 1)[0] for setting in settings(recipe)]


@pytest.fixture
def apply(tmp_path):
    """A function that changes the committed parameters by recipes, one after the other, with DVC's own reader."""

    def work(*recipes: str) -> Params:
        file = tmp_path / "params.yaml"
        shutil.copyfile(REPOSITORY / "params.yaml", file)
        for recipe in recipes:
            apply_overrides(file, settings(recipe))
        return load_params(file)

    return work


def value(params: Params, key: str) -> Any:
    found: Any = params.model_dump()
    for part in key.split("."):
        found = found[part]
    return found


@pytest.mark.parametrize("recipe", RECIPES)
def test_dvc_reads_what_stands_there(apply, recipe):
    params = apply(recipe)
    for setting in settings(recipe):
        key, text = setting.split("=", 1)
        assert value(params, key) == yaml.safe_load(text), key


@pytest.mark.parametrize("recipe", RECIPES)
def test_corpus_and_base_are_known(apply, recipe):
    params = apply(recipe)
    assert set(manifest.load(params.corpus.manifest).tasks) >= {"sst", "cfimdb", "quora", "sonnet"}
    hub = not (REPOSITORY / params.base.path).is_dir()
    assert (params.base.revision is not None) == hub


@pytest.mark.parametrize("recipe", RECIPES)
def test_nothing_is_left_of_the_recipe_before(apply, recipe):
    """All set the same keys in the same order, none twice: `diff` shows how two of them differ."""
    assert keys(recipe) == keys("paper")
    assert len(set(keys(recipe))) == len(keys(recipe))
    assert apply("paper-code", "local", recipe) == apply(recipe)


def test_local_changes_no_more_than_it_must(apply):
    """What else it sets is what is committed; a changed default belongs into recipes/local too."""
    local, committed = apply("local"), load_params(REPOSITORY / "params.yaml")
    assert {key for key in keys("local") if value(local, key) != value(committed, key)} == LOCAL


def test_every_adapter_is_trained_as_the_paper_states(apply):
    """Learning rate 1e-5, weight decay 0.2, the epoch chosen on dev; rank 32 in the text and 16 in its code."""
    for recipe, rank in {"paper": 32, "paper-large": 32, "paper-code": 16}.items():
        params = apply(recipe)
        assert {getattr(params, name).learning_rate for name in ADAPTERS} == {1e-5}
        for adapter in (params.lora, params.kan, params.graph):
            assert (adapter.r, adapter.alpha, adapter.dropout) == (rank, 2 * rank, 0.1)
            assert adapter.faithful == (recipe == "paper-code")
        assert params.lora.target_modules == params.graph.target_modules == ["c_fc", "mlp.c_proj"]
        assert params.train.optimizer.weight_decay == 0.2
        assert params.train.selection == "dev"
