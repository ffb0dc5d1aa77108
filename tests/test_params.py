from pathlib import Path

import pytest
import yaml

from knotwork import adapters, tasks
from knotwork.adapters.adapter import Adapter
from knotwork.errors import UserError
from knotwork.params import ADAPTERS, TASKS, load_params

COMMITTED = Path(__file__).parents[1] / "params.yaml"


@pytest.fixture
def write(tmp_path):
    """A function that writes the committed parameters with one changed, by dotted key."""

    def work(key=None, value=None, remove=False):
        values = yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))
        if key:
            *groups, name = key.split(".")
            place = values
            for group in groups:
                place = place[group]
            if remove:
                del place[name]
            else:
                place[name] = value
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return path

    return work


def message(path) -> str:
    with pytest.raises(UserError) as error:
        load_params(path)
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(f"{path}: ")


def test_committed_parameters_are_valid():
    params = load_params(COMMITTED)
    assert params.adapter in ADAPTERS
    assert params.chosen is getattr(params, params.adapter)


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapters_exist(name):
    assert isinstance(adapters.get(name), Adapter)


@pytest.mark.parametrize("name", TASKS)
def test_tasks_exist(name):
    assert tasks.get(name).name == name


@pytest.mark.parametrize(
    "key, value, expected",
    [
        # unknown keys, with the nearest known one: of the same group first
        ("lora.rank", 8, "lora.rank: unknown key; did you mean 'lora.r'?"),
        ("lora.drop_out", 0.1, "lora.drop_out: unknown key; did you mean 'lora.dropout'?"),
        ("train.optimizer.warm_up", 0.1, "did you mean 'train.optimizer.warmup'?"),
        ("train.optimizer.dropout", 0.1, "train.optimizer.dropout: unknown key; did you mean 'lora.dropout'?"),
        ("adaptor", "lora", "adaptor: unknown key; did you mean 'adapter'?"),
        ("patience", 1, "patience: unknown key; did you mean 'train.patience'?"),
        ("zzzzzz", 1, "zzzzzz: unknown key; remove it"),
        # names
        ("adapter", "lorra", "adapter: 'lorra' is not allowed (input should be 'head', 'full'"),
        ("adapter", "lorra", "did you mean 'lora'?"),
        ("tasks", ["sst", "quorra"], "tasks.1: 'quorra' is not allowed"),
        ("tasks", ["sst", "quorra"], "did you mean 'quora'?"),
        ("tasks", [], "tasks: [] is not allowed"),
        ("tasks", ["sst", "sst"], "tasks: an entry stands twice; remove one"),
        ("answer.sonnet", "score", "answer.sonnet: 'score' is not allowed"),
        # types
        ("lora.r", "many", "lora.r: 'many' is not allowed"),
        ("lora.r", 2.5, "lora.r: 2.5 is not allowed"),
        ("lora", 3, "lora: 3 is not allowed"),
        ("seeds", 1, "seeds: 1 is not allowed"),
        ("base.path", None, "base.path: None is not allowed"),
        # ranges
        ("lora.r", 0, "lora.r: 0 is not allowed (input should be greater than or equal to 1)"),
        ("lora.dropout", 1.0, "lora.dropout: 1.0 is not allowed"),
        ("lora.learning_rate", 0, "lora.learning_rate: 0 is not allowed"),
        ("lora.learning_rate", float("nan"), "lora.learning_rate: nan is not allowed"),
        ("lora.target_modules", [], "lora.target_modules: [] is not allowed"),
        ("seeds", [-1], "seeds.0: -1 is not allowed"),
        ("seeds", [2**31], "seeds.0: 2147483648 is not allowed"),
        ("seeds", [1, 1], "seeds: an entry stands twice"),
        (
            "train.selection",
            1.5,
            "train.selection: 1.5 is not allowed (it should be a number between 0 and 1, or dev)",
        ),
        ("train.selection", "test", "(it should be a number between 0 and 1, or dev)"),
        ("train.batch.size", 0, "train.batch.size: 0 is not allowed"),
        ("train.epochs.sst", -1, "train.epochs.sst: -1 is not allowed"),
        ("train.patience", 0, "train.patience: 0 is not allowed"),
        ("train.optimizer.betas", [0.9], "train.optimizer.betas"),
        ("train.optimizer.schedule", "cosinus", "did you mean 'cosine'?"),
        ("corpus.max_rows.sst", 0, "corpus.max_rows.sst: 0 is not allowed"),
        ("evaluate.generation.top_p", 1.1, "evaluate.generation.top_p: 1.1 is not allowed"),
        ("graphs.edges", ["syntax"], "graphs.edges.0: 'syntax' is not allowed"),
        ("graphs.control", "shuffle", "did you mean 'shuffled'?"),
        ("graph.heads", 0, "graph.heads: 0 is not allowed"),
        ("graph.blocks", 0, "graph.blocks: 0 is not allowed"),
        ("kan.grid_size", 0, "kan.grid_size: 0 is not allowed"),
        ("kan.order", -1, "kan.order: -1 is not allowed"),
        ("kan.basis", "spline", "did you mean 'bspline'?"),
        ("kan.range", [1.0, -1.0], "kan.range: 1.0 to -1.0 is empty; the first number must be the smaller one"),
        ("kan.range", [1.0, 1.0], "kan.range: 1.0 to 1.0 is empty"),
        ("kan.spline", "full", "kan.spline_r: full splines have no rank; set it to null"),
        ("budget.trainable_parameters", 0, "budget.trainable_parameters: 0 is not allowed"),
        # a budget and ranks at once, or neither
        ("budget.trainable_parameters", 50000, "lora.r: budget.trainable_parameters decides it; set one"),
        ("lora.r", None, "lora.r: null needs budget.trainable_parameters; give a number"),
    ],
)
def test_wrong_value_is_one_line_that_names_the_key(write, key, value, expected):
    assert expected in message(write(key, value))


@pytest.mark.parametrize("key", ["seeds", "lora.alpha", "train.epochs.quora"])
def test_missing_key(write, key):
    assert message(write(key, remove=True)) == f"{key}: missing; add it (see the committed params.yaml)"


def test_a_budget_decides_the_ranks(parameters):
    given = {"adapter": "kan", "budget.trainable_parameters": 50000}
    params = parameters({**given, "kan.r": None, "kan.spline_r": None})
    assert params.chosen.ranks == ("r", "spline_r")
    with pytest.raises(ValueError, match=r"kan\.spline_r: budget\.trainable_parameters decides it"):
        parameters({**given, "kan.r": None})
    with pytest.raises(ValueError, match="full has no ranks to choose"):
        parameters({**given, "adapter": "full"})


def test_full_splines_have_one_rank(parameters):
    params = parameters({"adapter": "kan", "kan.spline": "full", "kan.spline_r": None})
    assert params.chosen.ranks == ("r",)


@pytest.mark.parametrize(
    "adapter, faithful, uses", [("lora", False, False), ("graph", False, True), ("graph", True, False)]
)
def test_who_uses_graphs(parameters, adapter, faithful, uses):
    assert parameters({"adapter": adapter, "graph.faithful": faithful}).uses_graphs is uses


def test_formulas_may_be_members_but_not_in_one_graph_with_language(parameters):
    given = {"tasks": ["multitask"], "multitask.members": ["sst", "symbolic"]}
    assert [member.task for member in parameters(given).members("multitask")] == ["sst", "symbolic"]
    with pytest.raises(ValueError, match=r"multitask\.members: formulas \(symbolic, symbolic_choice\) have graphs"):
        parameters({**given, "adapter": "graph"})
    for fine in (
        {"multitask.members": ["symbolic", "symbolic_choice"]},
        {"graph.faithful": True},
        {"tasks": ["sst"]},
    ):
        parameters({**given, "adapter": "graph", **fine})


def test_dev_and_parts_are_selections(write):
    assert load_params(write("train.selection", "dev")).train.selection == "dev"
    assert load_params(write("train.selection", 0.2)).train.selection == 0.2


def test_empty_launcher_comes_back_as_null(write):
    assert load_params(write("train.launcher", None)).train.launcher == ""


@pytest.mark.parametrize(
    "text, expected",
    [
        ("adapter: [", "not valid YAML"),
        ("adapter: lora\nadapter: full\n", "key 'adapter' stands twice"),
        ("", "holds no parameters"),
        ("- lora\n", "holds no parameters"),
        ("adapter: \ud800", "not valid YAML"),
    ],
)
def test_broken_file(tmp_path, text, expected):
    path = tmp_path / "params.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert expected in message(path)


def test_missing_file(tmp_path):
    assert "not found; run from the folder that holds params.yaml" in message(tmp_path / "params.yaml")


def test_parameters_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        load_params(COMMITTED).lora.r = 3
