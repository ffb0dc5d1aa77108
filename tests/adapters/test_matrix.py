"""What must hold for every adapter on every kind of task."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import GPT2ForSequenceClassification

from knotwork import adapters, models
from knotwork.adapters.adapter import Setup
from knotwork.answers import answer_for, losses
from knotwork.encoding import encode
from knotwork.errors import UserError
from knotwork.tasks import get

MAX_LENGTH = 512
WIDTH, HIDDEN, LAYERS, CLASSES = 128, 512, 2, 5  # of base-tiny, and of SST

ADAPTERS = {
    "head": {"adapter": "head"},
    "full": {"adapter": "full"},
    "lora": {"adapter": "lora", "lora.r": 4},
    "lora-rslora": {"adapter": "lora", "lora.r": 4, "lora.use_rslora": True},
    "lora-dora": {"adapter": "lora", "lora.r": 4, "lora.use_dora": True},
    "lora-faithful": {
        "adapter": "lora",
        "lora.r": 4,
        "lora.faithful": True,
        "lora.target_modules": ["c_fc", "mlp.c_proj"],
    },
    "lora-budget": {"adapter": "lora", "budget.trainable_parameters": 20_000, "lora.r": None},
    "kan": {"adapter": "kan", "kan.r": 4, "kan.spline_r": 4},
    "kan-factored-rbf": {
        "adapter": "kan",
        "kan.r": 4,
        "kan.spline": "factored",
        "kan.spline_r": 4,
        "kan.basis": "rbf",
    },
    "kan-full-chebyshev": {
        "adapter": "kan",
        "kan.r": 4,
        "kan.spline": "full",
        "kan.spline_r": None,
        "kan.basis": "chebyshev",
        "kan.range": [-2.0, 2.0],
    },
    "kan-budget": {
        "adapter": "kan",
        "budget.trainable_parameters": 20_000,
        "kan.r": None,
        "kan.spline_r": None,
    },
    "kan-faithful": {"adapter": "kan", "kan.r": 4, "kan.spline_r": 4, "kan.faithful": True},
    "kan-frozen": {
        "adapter": "kan",
        "kan.r": 4,
        "kan.spline_r": 4,
        "kan.faithful": True,
        "kan.faithful_frozen": True,
    },
    "graph": {"adapter": "graph", "graph.r": 4, "graph.graph_r": 4},
    "graph-budget": {
        "adapter": "graph",
        "budget.trainable_parameters": 30_000,
        "graph.r": None,
        "graph.graph_r": None,
    },
    "graph-faithful": {"adapter": "graph", "graph.r": 4, "graph.graph_r": 4, "graph.faithful": True},
}
FAITHFUL = [name for name in ADAPTERS if name.endswith("faithful")]
PEFT = [name for name in ADAPTERS if name not in ("head", "full")]
# The paper's own layers begin at random, not as the base.
PRESERVING = [name for name in ADAPTERS if name not in ("kan-faithful", "kan-frozen", "graph-faithful")]
TASKS = {"score": ("sst", "score"), "words": ("sst", "words"), "sonnet": ("sonnet", "text")}


class Case:
    """An adapter on a task: a fresh base, the adapted model and a batch."""

    def __init__(self, adapter: str, task: str, parameters, data: Path, tiny_base: Path):
        self.params = parameters(ADAPTERS[adapter])
        self.task, way = get(TASKS[task][0]), TASKS[task][1]
        self.module = adapters.get(self.params.adapter)
        tokenizer = models.load_tokenizer(tiny_base)
        self.answer = answer_for(self.task, way, tokenizer)
        self.fresh = models.fresh_base(tiny_base, self.answer, MAX_LENGTH, seed=1)
        rows = self.task.read(data / "raw" / self.task.name, "train").rows[:6]
        graphs = data / "graphs" / self.task.name
        examples = self.module.attach(encode(self.task, rows, tokenizer, MAX_LENGTH), graphs)
        self.batch = self.answer.collate(examples)
        self.labels = self.batch.pop("labels")
        budget, batch = self.params.budget.trainable_parameters, self.batch
        self.setup = Setup(budget, 1, lambda: iter([batch]), graphs)
        self.model = self.prepared()

    def prepared(self):
        return self.module.prepare(self.fresh(), self.params.chosen, self.answer, self.setup)

    @torch.no_grad()
    def logits(self, model):
        return self.answer.logits(model.eval(), self.batch)

    def trainable(self, model=None):
        named = (model or self.model).named_parameters()
        return {name: value for name, value in named if value.requires_grad}

    def train(self, steps=2):
        """A few steps; gives the largest gradient that every trainable tensor saw."""
        self.model.train()
        seen = dict.fromkeys(self.trainable(), 0.0)
        optimizer = torch.optim.AdamW(self.trainable().values(), lr=1e-2)
        for _ in range(steps):
            losses(self.answer.logits(self.model, self.batch), self.labels).mean().backward()
            for name, value in self.trainable().items():
                if value.grad is not None:
                    seen[name] = max(seen[name], value.grad.abs().max().item())
            optimizer.step()
            optimizer.zero_grad()
        return seen

    def reload(self, folder):
        self.module.save(self.model, folder, self.answer)
        return self.module.load(folder, self.fresh, self.answer)


@pytest.fixture
def case(request, parameters, with_graphs, tiny_base):
    adapter, task = request.param
    return Case(adapter, task, parameters, with_graphs, tiny_base)


def matrix(names=ADAPTERS, tasks=TASKS, without=()):
    pairs = [(name, task) for name in names for task in tasks if (name, task) not in without]
    return pytest.mark.parametrize("case", pairs, indirect=True, ids=["-".join(pair) for pair in pairs])


NOTHING_TO_TRAIN = [("head", "words"), ("head", "sonnet")]


@matrix(PRESERVING)
def test_step_0_equals_the_base(case):
    assert torch.allclose(case.logits(case.model), case.logits(case.fresh()), atol=1e-5)


@matrix(without=NOTHING_TO_TRAIN)
def test_every_trainable_tensor_gets_a_gradient_by_step_2(case):
    before = case.logits(case.model)
    assert [name for name, gradient in case.train().items() if gradient == 0.0] == []
    assert not torch.allclose(case.logits(case.model), before, atol=1e-3)


@matrix()
def test_reloads_bit_identically(case, tmp_path):
    if case.trainable():
        case.train()
    trained = case.trainable()
    again = case.reload(tmp_path)
    theirs = dict(again.named_parameters())
    assert all(torch.equal(theirs[name], value) for name, value in trained.items())
    # torch multiplies by a frozen matrix in another order than by a trainable one.
    assert torch.equal(case.logits(again.requires_grad_(False)), case.logits(case.model.requires_grad_(False)))


@matrix(["full", *PEFT])
def test_saved_files_hold_no_pickle(case, tmp_path):
    case.reload(tmp_path)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {".json", ".safetensors", ".md"}


@matrix([name for name in PEFT if name not in FAITHFUL])
def test_frozen_weights_stay(case):
    case.train()
    base = case.fresh().state_dict()
    with case.model.disable_adapter():
        frozen = {
            name.removeprefix("base_model.model.").replace(".base_layer", "").replace(".original_module", ""): value
            for name, value in case.model.named_parameters()
            if "lora_" not in name and "modules_to_save" not in name
        }
    assert frozen.keys() <= base.keys()
    assert all(torch.equal(value, base[name]) for name, value in frozen.items())


@matrix([name for name in PEFT if name not in FAITHFUL])
def test_disabled_adapter_is_the_base(case):
    case.train()
    with case.model.disable_adapter():
        disabled = case.logits(case.model)
    assert torch.allclose(disabled, case.logits(case.fresh()), atol=1e-5)


@matrix(["lora", "kan", "graph"])
def test_second_adapter_beside_the_first(case, tmp_path):
    case.train()
    first = case.logits(case.model)
    case.module.save(case.model, tmp_path, case.answer)
    both = case.prepared()
    untrained = case.logits(both)
    both.load_adapter(tmp_path, "second")
    both.set_adapter("second")
    assert torch.equal(case.logits(both), first)
    both.set_adapter("default")
    assert torch.equal(case.logits(both), untrained)


@matrix(["head", "lora", "full"], ["score"])
def test_counts_of_trainable_parameters(case):
    block = 12 * WIDTH**2 + 13 * WIDTH
    body = (8192 + 512) * WIDTH + LAYERS * block + 2 * WIDTH
    # For each matrix r (in + out): c_attn, attention's c_proj, c_fc, the MLP's c_proj.
    sides = (WIDTH + 3 * WIDTH) + (WIDTH + WIDTH) + 2 * (WIDTH + HIDDEN)
    expected = {"head": 0, "lora": LAYERS * 4 * sides, "full": body}[case.params.adapter]
    assert models.count_trainable(case.model, case.answer.head) == {"adapter": expected, "head": WIDTH * CLASSES}


@matrix(["head", "lora"], ["sonnet"])
def test_no_head_is_counted_where_there_is_none(case):
    assert models.count_trainable(case.model, case.answer.head)["head"] == 0


@matrix(["lora-faithful"])
def test_faithful_trains_the_base_and_lora_on_the_mlp_alone(case):
    names = case.trainable()
    assert all("mlp" in name for name in names if "lora_" in name)
    assert any("attn.c_attn.weight" in name for name in names)
    assert not any("original_module" in name for name in names)


@matrix(["lora"], ["score"])
def test_folder_loads_in_plain_peft_without_this_package(case, tmp_path, tiny_base):
    case.train()
    case.module.save(case.model, tmp_path / "run", case.answer)
    torch.save((case.batch, case.logits(case.model)), tmp_path / "expected.pt")
    script = f"""
import sys
sys.modules["knotwork"] = None
import torch
from peft import PeftModel
from transformers import GPT2ForSequenceClassification
base = GPT2ForSequenceClassification.from_pretrained({str(tiny_base)!r}, num_labels=5, pad_token_id=0)
model = PeftModel.from_pretrained(base, {str(tmp_path / "run")!r}).eval()
batch, expected = torch.load({str(tmp_path / "expected.pt")!r}, weights_only=True)
with torch.no_grad():
    sys.exit(0 if torch.equal(model(**batch).logits, expected) else 1)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


@matrix(["lora"], ["score"])
def test_saved_adapter_names_its_base(case, tmp_path, tiny_base):
    case.module.save(case.model, tmp_path, case.answer)
    base = GPT2ForSequenceClassification.from_pretrained(tiny_base, num_labels=CLASSES, pad_token_id=0)
    adapted = PeftModel.from_pretrained(base, tmp_path)
    assert adapted.peft_config["default"].base_model_name_or_path == str(tiny_base)


@pytest.mark.parametrize("name", ["q_proj", "score", "gate"])
def test_unknown_target_module_is_one_line(parameters, data, tiny_base, name):
    case = Case("lora", "sonnet", parameters, data, tiny_base)
    settings = case.params.lora.model_copy(update={"target_modules": ["c_attn", name]})
    with pytest.raises(UserError, match=rf"lora\.target_modules: the base has no module '{name}'"):
        case.module.prepare(case.fresh(), settings, case.answer, case.setup)
