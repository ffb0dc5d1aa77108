"""Hybrid KAN-LoRA as a PEFT method."""

import copy

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch.nn import functional
from transformers import GPT2ForSequenceClassification

from knotwork import KanLoraConfig, UserError
from knotwork.adapters.kan import fit_grid

from .conftest import BASES, BLOCKS, HIDDEN, SPLINES, WIDTH, logits, small_base, training_steps


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("spline", SPLINES)
def test_starts_as_the_pretrained_network(adapted, base, batch, basis, spline):
    assert torch.equal(logits(adapted(basis=basis, spline=spline), batch), logits(base(), batch))


def test_starts_as_the_pretrained_network_before_the_fit_too(base, batch):
    model = get_peft_model(base(), KanLoraConfig(r=3)).eval()
    assert torch.equal(logits(model, batch), logits(base(), batch))


def test_silu_takes_the_place_of_both_activations(adapted, base, batch):
    silu, expected = adapted(activation="silu", range=(-2, 2)), base()
    for block in expected.transformer.h:
        block.mlp.act = torch.nn.SiLU()
        block.mlp.c_fc.register_forward_pre_hook(lambda module, args: functional.silu(args[0]))
    assert torch.allclose(logits(silu, batch), logits(expected, batch), atol=1e-6)
    assert not torch.allclose(logits(silu, batch), logits(base(), batch), atol=1e-3)


@pytest.mark.parametrize("activation", ["pretrained", "silu"])
@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("spline", SPLINES)
def test_every_factor_has_a_gradient_by_step_2(adapted, batch, basis, spline, activation):
    model = adapted(basis=basis, spline=spline, activation=activation)
    seen = training_steps(model, batch)
    assert len(seen) == BLOCKS * 2 * {"full": 3, "factored": 4, "latent": 5}[spline]
    assert [name for name, gradient in seen.items() if gradient == 0.0] == []


def test_the_formula(adapted, batch):
    model = adapted(spline="full", dropout=0.5, alpha=6)
    training_steps(model, batch, steps=3)
    model.requires_grad_(False)
    layer = model.base_model.model.transformer.h[1].mlp
    x = torch.randn(2, 5, WIDTH)
    mlp = layer.base_layer

    def matrix(place, base, x, f):
        low_rank = getattr(layer, f"kan_lora_{place}")["default"]
        spline = getattr(layer, f"kan_lora_{place}_spline")["default"]
        weight = base.weight.T + 6 / 3 * low_rank.B @ low_rank.A
        sigma = spline.basis.values(((x - spline.centre) * spline.scale).flatten(0, 1))
        splines = torch.einsum("tki,oki->to", sigma, spline.coefficients)
        return f(x) @ weight.T + base.bias + splines.view(*x.shape[:-1], -1)

    hidden = matrix("up", mlp.c_fc, x, lambda x: x)
    expected = matrix("down", mlp.c_proj, hidden, mlp.act)
    assert torch.allclose(layer(x), expected, atol=1e-5)


def test_base_stays_frozen_and_dropout_is_drawn_in_training_alone(adapted, base, batch):
    model = adapted(dropout=0.5)
    training_steps(model, batch, steps=3)
    assert torch.equal(logits(model, batch), logits(model, batch))
    with model.disable_adapter():
        assert torch.equal(logits(model, batch), logits(base(), batch))
    assert not torch.allclose(logits(model, batch), logits(base(), batch), atol=1e-3)


@pytest.mark.parametrize("spline", SPLINES)
@pytest.mark.parametrize("low_cpu_mem_usage", [False, True])
def test_reloads_bit_identically(adapted, base, batch, spline, low_cpu_mem_usage, tmp_path):
    model = adapted(spline=spline, basis="rbf", grid_size=4)
    training_steps(model, batch)
    model.save_pretrained(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors", ".md"}
    again = PeftModel.from_pretrained(base(), tmp_path, low_cpu_mem_usage=low_cpu_mem_usage).eval()
    assert torch.equal(logits(again, batch), logits(model.requires_grad_(False), batch))


def test_reloaded_splines_are_fitted(adapted, base, batch, tmp_path):
    adapted().save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(base(), tmp_path, is_trainable=True)
    assert all(gradient > 0 for gradient in training_steps(again, batch).values())


def test_second_adapter_beside_the_first(adapted, base, batch, tmp_path):
    first = adapted()
    training_steps(first, batch)
    expected = logits(first.requires_grad_(False), batch)
    first.save_pretrained(tmp_path)
    both = adapted(spline="factored", basis="chebyshev", blocks=1)
    both.load_adapter(tmp_path, "second")
    assert torch.equal(logits(both, batch), logits(base(), batch))
    both.set_adapter("second")
    assert torch.equal(logits(both.requires_grad_(False), batch), expected)
    both.set_adapter("default")
    assert torch.equal(logits(both, batch), logits(base(), batch))
    both.base_model.set_adapter(["default", "second"])
    assert torch.allclose(logits(both, batch), expected, atol=1e-6)
    both.delete_adapter("second")
    assert torch.equal(logits(both, batch), logits(base(), batch))


def test_adapters_with_other_activations_do_not_work_together(adapted, batch):
    model = adapted()
    model.add_adapter("silu", KanLoraConfig(r=2, activation="silu"))
    model.base_model.set_adapter(["default", "silu"])
    with pytest.raises(UserError, match=r"kan\.activation: adapters with different activations"):
        logits(model, batch)


def test_merging_is_refused_and_says_why(adapted, batch):
    model = adapted()
    for merge in (model.merge_adapter, model.merge_and_unload, model.base_model.model.transformer.h[0].mlp.merge):
        with pytest.raises(UserError, match="cannot be merged into a matrix; merge_lora"):
            merge()


def test_the_low_rank_part_alone_merges(adapted, base, batch):
    model = adapted()
    training_steps(model, batch)
    before = logits(model, batch)
    model.merge_lora()
    model.merge_lora()
    assert torch.allclose(logits(model, batch), before, atol=1e-5)
    mlp = model.base_model.model.transformer.h[0].mlp
    assert not torch.equal(mlp.base_layer.c_fc.weight, base().transformer.h[0].mlp.c_fc.weight)
    model.unmerge_adapter()
    assert torch.allclose(logits(model, batch), before, atol=1e-5)
    model.merge_lora()
    with model.disable_adapter():
        assert torch.allclose(logits(model, batch), logits(base(), batch), atol=1e-5)
    assert torch.allclose(logits(model, batch), before, atol=1e-5)


def test_unload_gives_the_base_back(adapted, base, batch):
    model = adapted()
    training_steps(model, batch)
    assert torch.equal(logits(model.unload(), batch), logits(base(), batch))


@pytest.mark.parametrize(("blocks", "expected"), [("all", {0, 1, 2}), (1, {2}), (2, {1, 2}), ([2, 0], {0, 2})])
def test_blocks(base, blocks, expected):
    model = get_peft_model(base(blocks=3), KanLoraConfig(r=3, blocks=blocks))
    found = {int(name.split(".h.")[1].split(".")[0]) for name, _ in model.named_parameters() if "kan_lora" in name}
    assert found == expected


@pytest.mark.parametrize("blocks", [0, 3, [0, 2], [1, 1], [-1]])
def test_blocks_that_the_base_has_not_are_one_line(base, blocks):
    with pytest.raises(UserError, match=r"kan\.blocks: .* does not fit a model of 2 blocks"):
        get_peft_model(base(), KanLoraConfig(r=3, blocks=blocks))


def test_ranks_by_block_and_one_scale(base):
    model = get_peft_model(base(blocks=3), KanLoraConfig(r=[2, 5], spline_r=[4, 1], blocks=2, alpha=10))
    layers = [model.base_model.model.transformer.h[block].mlp for block in (1, 2)]
    low_rank = [layer.kan_lora_up["default"] for layer in layers]
    assert [part.A.shape[0] for part in low_rank] == [2, 5]
    assert {part.scaling for part in low_rank} == {2.0}
    assert [layer.kan_lora_down_spline["default"].U.shape[1] for layer in layers] == [4, 1]


def test_the_rank_of_splines_is_that_of_lora_unless_given(adapted):
    for given, rank in {None: 3, 2: 2}.items():
        spline = adapted(spline_r=given).base_model.model.transformer.h[0].mlp.kan_lora_up_spline["default"]
        assert spline.U.shape == (HIDDEN, rank)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"r": WIDTH + 1}, r"kan\.r: 17 is above the size of the layer; a matrix of 16 x 64 takes at most 16"),
        ({"r": 2, "spline_r": 17}, r"kan\.spline_r: 17 is above the size of the layer"),
        ({"r": 2, "spline_r": 17, "spline": "factored"}, r"kan\.spline_r: 17 is above"),
        ({"r": [2, 3, 4]}, r"kan\.r: 3 ranks for 2 blocks; the adapter was made for another base"),
    ],
)
def test_rank_that_does_not_fit_is_one_line(base, settings, line):
    with pytest.raises(UserError, match=line):
        get_peft_model(base(), KanLoraConfig(**settings))


@pytest.mark.parametrize(("width", "blocks"), [(32, 2), (16, 1), (16, 3)])
def test_adapter_of_another_base_is_one_line(adapted, base, batch, width, blocks, tmp_path):
    adapted().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="the adapter was saved for another base") as caught:
        PeftModel.from_pretrained(base(width, blocks), tmp_path)
    assert "\n" not in str(caught.value)


def test_unknown_architecture_is_one_line():
    from transformers import OPTConfig, OPTForCausalLM

    config = OPTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        ffn_dim=32,
        num_attention_heads=2,
        vocab_size=40,
        word_embed_proj_dim=16,
    )
    with pytest.raises(UserError, match="adapters know gpt2, not opt"):
        get_peft_model(OPTForCausalLM(config), KanLoraConfig(r=2))


def test_classifier_with_a_head_of_its_own(batch, tmp_path):
    def fresh():
        torch.manual_seed(0)
        config = copy.deepcopy(small_base().config)
        config.num_labels, config.pad_token_id = 3, 0
        return GPT2ForSequenceClassification(config).eval()

    model = get_peft_model(fresh(), KanLoraConfig(r=3, task_type="SEQ_CLS", modules_to_save=["score"]))
    fit_grid(model, [batch])
    assert torch.equal(logits(model.eval(), batch), logits(fresh(), batch))
    assert {name.split(".")[-1] for name, value in model.named_parameters() if value.requires_grad} == {
        *"ABUV",
        "weight",
    }
    model.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(fresh(), tmp_path).eval()
    assert torch.equal(logits(again, batch), logits(model.requires_grad_(False), batch))


@pytest.mark.parametrize("spline", SPLINES)
def test_autocast_and_a_base_in_bf16(adapted, batch, spline):
    model = adapted(spline=spline)
    training_steps(model, batch, steps=4)
    expected = logits(model, batch)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(logits(model, batch).float(), expected, atol=0.2)
        model(**batch, labels=batch["input_ids"]).loss.backward()
    narrow = get_peft_model(small_base().bfloat16(), KanLoraConfig(r=3, spline=spline, range=(-2, 2)))
    assert {value.dtype for name, value in narrow.named_parameters() if "kan_lora" in name} == {torch.float32}
    assert all(gradient > 0 for gradient in training_steps(narrow, batch).values())


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_gradient_checkpointing_gives_the_same_gradients(adapted, batch, use_reentrant):
    def gradients(model):
        model.train()
        model(**batch, labels=batch["input_ids"]).loss.backward()
        return {name: value.grad for name, value in model.named_parameters() if value.grad is not None}

    plain = gradients(_stirred(adapted()))
    model = _stirred(adapted())
    model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
    model.enable_input_require_grads()
    checkpointed = gradients(model)
    assert plain.keys() == checkpointed.keys()
    assert all(torch.allclose(value, checkpointed[name], atol=1e-7) for name, value in plain.items())


def _stirred(model):
    """No factor is zero, and no dropout is left."""
    torch.manual_seed(1)
    for name, value in model.named_parameters():
        if "kan_lora" in name:
            torch.nn.init.normal_(value, std=0.1)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif hasattr(module, "attn_dropout"):
            module.attn_dropout.p = 0.0
    return model


@pytest.mark.parametrize("spline", SPLINES)
def test_regularisation(adapted, batch, spline):
    model = adapted(spline=spline, l1=0.5, entropy=0.25)
    assert model.regularisation() == 0.0
    model.regularisation().backward()
    assert all(value.grad is None or value.grad.isfinite().all() for value in model.parameters())
    _stirred(model)
    expected = 0.0
    for _, part in model.base_model.splines():
        edges = part.edges()
        share = edges / edges.sum()
        expected += 0.5 * edges.sum() - 0.25 * (share * share.log()).sum()
    assert torch.allclose(model.regularisation(), expected, rtol=1e-4)
    model.zero_grad()
    model.regularisation().backward()
    reached = {name.split(".")[-1] for name, value in model.named_parameters() if value.grad is not None}
    assert reached == ({"coefficients"} if spline == "full" else {"U", "V"})


def test_regularisation_is_off_by_default(adapted):
    assert _stirred(adapted()).regularisation() == 0.0


def test_magnitude_of_a_full_spline_is_its_mean_absolute_coefficient(adapted):
    spline = _stirred(adapted(spline="full")).base_model.model.transformer.h[0].mlp.kan_lora_up_spline["default"]
    assert torch.allclose(spline.edges(), spline.coefficients.abs().mean(1))
    assert spline.edges().shape == (HIDDEN, WIDTH)
