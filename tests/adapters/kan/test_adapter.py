"""KanAdapter: what the pipeline calls."""

from pathlib import Path

import pytest
import torch

from knotwork import UserError
from knotwork.adapters.adapter import Setup
from knotwork.adapters.budget import TOLERANCE
from knotwork.adapters.kan import ADAPTER
from knotwork.adapters.peft_adapter import BASE
from knotwork.answers import Text
from knotwork.models import count_trainable

from .conftest import BLOCKS, logits, small_base, small_batch, training_steps
from .test_budget import settings

TEXT = Text(0)


def setup(budget=None, batches=None):
    return Setup(budget, 1, lambda: iter(batches or [small_batch(), small_batch()]), Path())


def prepared(budget=None, **changes):
    torch.manual_seed(2)
    ranks = {} if budget else {"r": 3, "spline_r": 2}
    return ADAPTER.prepare(small_base(), settings(**{**ranks, **changes}), TEXT, setup(budget))


def mean(model):
    return model.base_model.model.transformer.h[1].mlp.kan_lora_down_spline["default"].mean


def test_settings_arrive(batch):
    model = prepared(spline="factored", basis="rbf", grid_size=4, order=2, activation="silu", blocks=[1], alpha=9.0)
    layer = model.base_model.model.transformer.h[1].mlp
    assert layer.kan_lora_up["default"].scaling == 3.0
    assert layer.kan_lora_up_spline["default"].V.shape == (2, 6, 16)
    assert layer.configs["default"].activation == "silu"
    assert type(model.base_model.model.transformer.h[0].mlp).__name__ == "GPT2MLP"


def test_grid_is_fitted_on_so_many_rows():
    first = {key: value[:3] for key, value in small_batch().items()}
    torch.manual_seed(2)
    expected = ADAPTER.prepare(small_base(), settings(r=3, spline_r=2, fit_rows=99), TEXT, setup(None, [first]))
    assert torch.equal(mean(prepared(fit_rows=3)), mean(expected))
    assert not torch.equal(mean(prepared(fit_rows=8)), mean(expected))


def test_a_given_range_looks_at_no_row():
    def none():
        raise AssertionError

    model = ADAPTER.prepare(
        small_base(), settings(r=3, spline_r=3, range=(-2.0, 2.0)), TEXT, Setup(None, 1, none, Path())
    )
    spline = model.base_model.model.transformer.h[1].mlp.kan_lora_down_spline["default"]
    assert (spline.scale == 0.5).all()


@pytest.mark.parametrize(("spline", "budget"), [("latent", 2000), ("factored", 5000)])
def test_budget_is_spent(spline, budget):
    model = prepared(budget, spline=spline)
    trained = count_trainable(model, None)["adapter"]
    assert abs(trained - budget) <= TOLERANCE * budget
    training_steps(model, small_batch())


def test_penalty_is_the_regularisation_where_it_is_on():
    assert ADAPTER.penalty(prepared()) is None
    model = prepared(l1=0.1)
    training_steps(model, small_batch())
    assert ADAPTER.penalty(model) > 0.0


@pytest.mark.parametrize("changes", [{}, {"faithful": True}, {"faithful": True, "faithful_frozen": True}])
def test_saves_and_loads(changes, tmp_path):
    model = prepared(**changes)
    training_steps(model, small_batch())
    ADAPTER.save(model, tmp_path, TEXT)

    def base(folder=None):
        return type(small_base()).from_pretrained(folder) if folder else small_base()

    assert (tmp_path / BASE).is_dir() == (changes == {"faithful": True})
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".json", ".safetensors", ".md"}
    again = ADAPTER.load(tmp_path, base, TEXT).eval()
    expected = logits(model.requires_grad_(False), small_batch())
    assert torch.equal(logits(again.requires_grad_(False), small_batch()), expected)


def test_faithful_trains_everything_in_use():
    model = prepared(faithful=True)
    gradients = training_steps(model, small_batch())
    assert all(gradient > 0 for name, gradient in gradients.items() if "wpe" not in name)
    assert not any("base_layer" in name for name in gradients)
    everything = sum(value.numel() for value in small_base().parameters())
    mlps = sum(value.numel() for block in small_base().transformer.h for value in block.mlp.parameters())
    adapter = sum(value.numel() for name, value in model.named_parameters() if "kan_lora" in name)
    assert count_trainable(model, None)["adapter"] == everything - mlps + adapter


def test_faithful_has_no_budget():
    with pytest.raises(UserError, match=r"budget\.trainable_parameters: the paper's KAN \(kan\.faithful\)"):
        prepared(budget=10_000, faithful=True)


def test_notes_of_faithful_runs():
    assert ADAPTER.note(settings(r=3, spline_r=3), TEXT) == ""
    notes = {
        frozen: ADAPTER.note(settings(r=3, spline_r=3, faithful=True, faithful_frozen=frozen), TEXT)
        for frozen in (False, True)
    }
    assert "trained too and lie in `base/`" in notes[False]
    assert "LoRA alone was trained" in notes[True]


def test_rank_above_the_layer_is_one_line():
    with pytest.raises(UserError, match=r"kan\.r: 17 is above the size of the layer"):
        prepared(r=17)


def test_every_block_is_adapted_by_default():
    layers = [type(block.mlp).__name__ for block in prepared().base_model.model.transformer.h]
    assert layers == ["KanLoraMlp"] * BLOCKS
