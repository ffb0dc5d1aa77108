"""Figures of the splines, against sums taken one feature at a time."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from knotwork.adapters.kan.pictures import BINS, POINTS, REMOVED, chosen_function, pictures
from knotwork.answers import Text
from knotwork.corpora import Row
from knotwork.encoding import Example
from knotwork.errors import UserError
from knotwork.inference import score
from knotwork.report.records import SplinePictures

from .conftest import BLOCKS, SPLINES, logits

ANSWER = Text(0)


@pytest.fixture
def examples(batch):
    """The rows of the batch without their padding."""
    rows = zip(batch["input_ids"], batch["attention_mask"].bool(), strict=True)
    return [Example(Row(str(n), (), None), ids[real].tolist(), False) for n, (ids, real) in enumerate(rows)]


@pytest.fixture
def trained(adapted):
    """A model whose splines do something, as after training."""

    def make(**settings):
        model = adapted(**settings)
        generator = torch.Generator().manual_seed(11)
        with torch.no_grad():
            for name, value in model.named_parameters():
                if "kan_lora_" in name:
                    value.add_(torch.randn(value.shape, generator=generator) * 0.3)
        return model

    return make


def layer(model, block):
    return model.get_base_model().transformer.h[block].mlp


def seen(model, batch, block):
    """Inputs and outputs of both splines' matrices at real tokens, by place."""
    found, real, mlp = {}, batch["attention_mask"].bool(), layer(model, block)
    splines = {place: mlp.splines()[place]["default"] for place in ("up", "down")}
    hooks = [
        spline.register_forward_pre_hook(lambda module, args, place=place: found.update({place: args[0][real]}))
        for place, spline in splines.items()
    ]
    hooks.append(mlp.register_forward_hook(lambda module, args, out: found.update(out=out[real])))
    logits(model, batch)
    for hook in hooks:
        hook.remove()
    return {
        "up": (splines["up"], found["up"], found["down"]),
        "down": (splines["down"], found["down"], found["out"]),
    }


@torch.no_grad()
def alone(spline, inputs, feature):
    """What the splines of one feature add, (tokens, outputs)."""
    name = "coefficients" if hasattr(spline, "coefficients") else "V"
    parameter = getattr(spline, name)
    kept = parameter.detach().clone()
    parameter.zero_()
    parameter[..., feature] = kept[..., feature]
    result = spline(inputs)
    parameter.copy_(kept)
    return result


@pytest.mark.parametrize("spline", SPLINES)
def test_strength_is_the_spread_of_what_a_feature_adds(trained, batch, examples, spline):
    model = trained(spline=spline)
    found = pictures(model, ANSWER, examples)["splines"]
    assert [(row["block"], row["matrix"]) for row in found["strength"]["rows"]] == [
        (block, name) for block in range(BLOCKS) for name in ("c_fc", "c_proj")
    ]
    values = iter(found["strength"]["values"])
    for block in range(BLOCKS):
        for part, inputs, outputs in seen(model, batch, block).values():
            features = len(part.scale)
            spread = [alone(part, inputs, feature).var(0, correction=0).sum() for feature in range(features)]
            expected = (
                (torch.stack(spread) / outputs.var(0, correction=0).sum()).sqrt().sort(descending=True).values
            )
            assert len(expected) <= BINS
            assert torch.allclose(torch.tensor(next(values)), expected, rtol=2e-3)


@pytest.mark.parametrize("basis", ["bspline", "rbf", "chebyshev"])
@pytest.mark.parametrize("spline", SPLINES)
def test_a_drawn_function_is_the_strongest_features(trained, batch, examples, monkeypatch, spline, basis):
    model = trained(spline=spline, basis=basis)
    drawn = pictures(model, ANSWER, examples)["splines"]["functions"]
    assert len(drawn) == 2 * BLOCKS
    for function in drawn:
        place = {"c_fc": "up", "c_proj": "down"}[function["matrix"]]
        part, inputs, outputs = seen(model, batch, function["block"])[place]
        added = alone(part, inputs, function["feature"])
        assert int(added.var(0).argmax()) == function["output"]
        share = (added.var(0, correction=0).sum() / outputs.var(0, correction=0).sum()).sqrt()
        assert function["strength"] == pytest.approx(share.item(), rel=1e-3)
        x = part.project(inputs).detach()[:, function["feature"]]
        assert len(function["x"]) == POINTS
        assert x.min() <= function["x"][0] + 1e-3
        assert function["x"][-1] <= x.max() + 1e-3
        # The drawn curve is what the module gives if only this feature moves.
        monkeypatch.setattr(part, "project", lambda features: features)
        moved = torch.zeros(POINTS, len(part.scale))
        moved[:, function["feature"]] = torch.tensor(function["x"])
        curve = alone(part, moved, function["feature"])[:, function["output"]]
        monkeypatch.undo()
        only = np.array(function["total"]) - np.array(function["base"] or 0.0)
        assert np.allclose(only, curve, atol=5e-3 * np.abs(function["total"]).max())
        assert (function["base"] is None) == (spline == "latent")
        assert function["r2"] <= 1
        assert max(function["density"]) == 1


@pytest.mark.parametrize("activation", ["pretrained", "silu"])
def test_the_base_is_the_path_without_the_spline(trained, examples, activation):
    model = trained(spline="full", activation=activation)
    for function in pictures(model, ANSWER, examples)["splines"]["functions"]:
        mlp, x = layer(model, function["block"]), torch.tensor(function["x"])
        place, f = ("up", torch.clone) if function["matrix"] == "c_fc" else ("down", mlp.get_base_layer().act)
        f = functional.silu if activation == "silu" else f
        low_rank = getattr(mlp, f"kan_lora_{place}")["default"]
        weight = getattr(mlp, place).weight.T + low_rank.weight()
        expected = weight[function["output"], function["feature"]] * f(x)
        assert torch.allclose(torch.tensor(function["base"]), expected, rtol=5e-3, atol=1e-4)


@pytest.mark.parametrize("settings", [{"spline": name} for name in SPLINES] + [{"faithful": True}])
def test_pruning_holds_splines_at_their_mean_and_puts_them_back(trained, examples, batch, settings):
    model = trained(**settings)
    before = logits(model, batch)
    found = pictures(model, ANSWER, examples)["splines"]
    assert torch.equal(logits(model, batch), before)
    assert [point["removed"] for point in found["pruning"]] == list(REMOVED)
    whole, *_, none = (point["score"] for point in found["pruning"])
    scores = score(model, ANSWER, examples, 64)
    assert whole == pytest.approx(np.exp(scores.nll.sum() / scores.tokens.sum()))
    assert (found["score_name"], found["examples"]) == ("perplexity", len(examples))
    for block in range(BLOCKS):
        mlp = layer(model, block)
        for place in ("up", "down"):
            held_at_mean(mlp, place, batch, model)
    scores = score(model, ANSWER, examples, 64)
    assert none == pytest.approx(np.exp(scores.nll.sum() / scores.tokens.sum()), rel=1e-3)


def held_at_mean(mlp, place, batch, model):
    """Replace the splines of a matrix by the mean of what they gave before anything was replaced."""
    faithful = not mlp.splines()
    module = getattr(mlp, f"kan_lora_{place}_random")["default"] if faithful else mlp.splines()[place]["default"]
    if not hasattr(model, "means"):
        model.means = means(model, batch)
    mean = model.means[module]
    if faithful:
        module.register_forward_hook(lambda m, args, out: functional.silu(args[0]) @ m.base.T + mean)
    else:
        module.register_forward_hook(lambda m, args, out: mean.expand_as(out))


def means(model, batch):
    found, hooks, real = {}, [], batch["attention_mask"].bool()
    for block in range(BLOCKS):
        mlp = layer(model, block)
        for place in ("up", "down"):
            if mlp.splines():
                module, base = mlp.splines()[place]["default"], None
            else:
                module = getattr(mlp, f"kan_lora_{place}_random")["default"]
                base = module.base.detach()

            def note(m, args, out, base=base):
                added = out if base is None else out - functional.silu(args[0]) @ base.T
                found[m] = added[real].mean(0)

            hooks.append(module.register_forward_hook(note))
    logits(model, batch)
    for hook in hooks:
        hook.remove()
    return found


def test_faithful_functions_stand_on_silu(trained, examples):
    model = trained(faithful=True)
    for function in pictures(model, ANSWER, examples)["splines"]["functions"]:
        mlp, place = layer(model, function["block"]), {"c_fc": "up", "c_proj": "down"}[function["matrix"]]
        weight = getattr(mlp, f"kan_lora_{place}_random")["default"].base
        weight = weight + getattr(mlp, f"kan_lora_{place}")["default"].weight()
        expected = weight[function["output"], function["feature"]] * functional.silu(torch.tensor(function["x"]))
        assert torch.allclose(torch.tensor(function["base"]), expected, rtol=5e-3, atol=1e-4)


@pytest.mark.parametrize("settings", [{"spline": name} for name in SPLINES] + [{"faithful": True}])
def test_any_function_can_be_chosen(trained, examples, settings):
    model = trained(**settings)
    for drawn in pictures(model, ANSWER, examples, functions=2)["splines"]["functions"]:
        place = drawn["block"], drawn["matrix"], drawn["feature"]
        assert chosen_function(model, ANSWER, examples, *place) == drawn


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ((0, "c_fc", 0), r"no splines in block 0, c_fc; there are 1 c_fc, 1 c_proj"),
        ((1, "c_attn", 0), r"no splines in block 1, c_attn"),
        ((1, "c_fc", 16), r"no feature 16; block 1, c_fc has 0 to 15"),
    ],
)
def test_a_function_that_is_not_there_is_one_line(trained, examples, place, line):
    with pytest.raises(UserError, match=f"--function: {line}"):
        chosen_function(trained(spline="full", blocks=[1]), ANSWER, examples, *place)


def test_only_adapted_blocks_are_shown_and_as_many_functions_as_asked_for(trained, examples):
    found = pictures(trained(blocks=[1]), ANSWER, examples, functions=2)["splines"]
    assert found["strength"]["rows"] == [{"block": 1, "matrix": "c_fc"}, {"block": 1, "matrix": "c_proj"}]
    assert [function["matrix"] for function in found["functions"]] == ["c_fc", "c_proj"] * 2


@pytest.mark.parametrize("spline", SPLINES)
def test_an_untrained_model_is_flat(adapted, examples, spline):
    found = pictures(adapted(spline=spline), ANSWER, examples)["splines"]
    assert all(value == 0 for values in found["strength"]["values"] for value in values)
    assert len({point["score"] for point in found["pruning"]}) == 1
    assert all(function["formula"] is None for function in found["functions"])


def test_a_diverged_model_has_no_pictures(trained, examples):
    model = trained()
    with torch.no_grad():
        layer(model, 1).splines()["up"]["default"].U.fill_(torch.inf)
    assert pictures(model, ANSWER, examples) == {}


@pytest.mark.parametrize("settings", [{}, {"spline": "full"}, {"faithful": True}])
def test_the_report_reads_them(trained, examples, settings):
    SplinePictures.model_validate(pictures(trained(**settings), ANSWER, examples)["splines"])
