import copy

import pytest
import torch
from peft import PeftModel, get_peft_model

import knotwork
from knotwork.adapters.graph.model import recorded_attention
from knotwork.errors import UserError

from .conftest import (
    BLOCKS,
    LABELS,
    Builder,
    all_pairs_graph,
    causal_graph,
    graph_tensors,
    logits,
    shake,
    small_batch,
)


def gradients(model):
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def test_two_lines_on_a_plain_model(base, batch):
    plain = base()
    expected = logits(plain, input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    model = get_peft_model(plain, knotwork.GraphLoraConfig(labels=["det", "nsubj"]))
    assert torch.allclose(logits(model, **batch), expected, atol=1e-5)


def test_the_graph_changes_what_the_model_says(adapted, batch):
    model = adapted()
    other = batch | {"graph_edges": batch["graph_edges"].flip(0)}
    assert not torch.allclose(logits(model, **batch), logits(model, **other), atol=1e-3)


@pytest.mark.parametrize("blocks, expected", [("all", [0, 1, 2]), (1, [2]), ([0, 2], [0, 2])])
def test_blocks_that_get_a_graph(adapted, blocks, expected):
    assert sorted(adapted(blocks=blocks).base_model.graph_layers()) == expected


def test_a_call_without_a_graph_is_one_line(adapted, batch):
    with pytest.raises(UserError, match="needs the token graph of its batch: pass graph_edges"):
        adapted()(input_ids=batch["input_ids"])


def test_a_graph_of_another_batch_is_one_line(adapted, batch):
    with pytest.raises(UserError, match="graph_edges: positions go from 0 to 11 in this batch"):
        adapted()(**batch | {"input_ids": batch["input_ids"][:1], "attention_mask": batch["attention_mask"][:1]})


def test_half_a_graph_is_one_line(adapted, batch):
    with pytest.raises(UserError, match="takes graph_edges, graph_kinds, graph_labels together"):
        adapted()(**{name: tensor for name, tensor in batch.items() if name != "graph_labels"})


def test_a_batch_without_edges_has_its_self_loops(adapted):
    nothing = torch.zeros(0, dtype=torch.long)
    empty = {"graph_edges": nothing.reshape(2, 0), "graph_kinds": nothing, "graph_labels": nothing}
    assert torch.isfinite(logits(adapted(), input_ids=torch.tensor([[1, 2, 3]]), **empty)).all()


def test_a_half_precision_base(adapted, batch):
    model = adapted()
    expected = logits(model, **batch)
    half = model.bfloat16()
    half.base_model._cast_adapter_dtype("default")
    assert torch.allclose(logits(half, **batch).float(), expected, atol=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(logits(adapted(), **batch).float(), expected, atol=0.1)


def test_labels_of_another_parser_are_one_line(adapted, batch):
    with pytest.raises(UserError, match="graph_labels: the adapter knows 1 dependency labels"):
        adapted(labels=["det"])(**batch)


def test_heads_that_do_not_fit_are_one_line():
    with pytest.raises(UserError, match="3 heads cannot share out graph_r 16"):
        knotwork.GraphLoraConfig(heads=3)


def test_merging_is_one_line(adapted):
    with pytest.raises(UserError, match="cannot be merged"):
        adapted().merge_and_unload()


def test_unloading_gives_the_base_back(adapted, base, batch):
    plain = adapted().unload()
    ids = batch["input_ids"]
    assert torch.equal(logits(plain, input_ids=ids), logits(base(), input_ids=ids))
    assert plain.state_dict().keys() == base().state_dict().keys()


def test_disabled_adapter_needs_no_graph_and_is_the_base(adapted, base, batch):
    model = adapted()
    plain = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with model.disable_adapter():
        assert torch.equal(logits(model, **plain), logits(base(), **plain))
        assert torch.equal(logits(model, **batch), logits(base(), **plain))


def test_reloads_bit_identically_under_another_name_beside_another_adapter(adapted, base, batch, tmp_path):
    first = adapted().requires_grad_(False)
    first.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(base(), tmp_path)
    assert torch.equal(logits(again, **batch), logits(first, **batch))
    assert again.active_peft_config.labels == LABELS
    other = get_peft_model(base(), first.peft_config["default"]).eval()
    other.load_adapter(tmp_path, "second")
    other.set_adapter("second")
    other.requires_grad_(False)
    assert torch.equal(logits(other, **batch), logits(first, **batch))
    other.set_adapter("default")
    other.delete_adapter("second")
    assert not torch.allclose(logits(other, **batch), logits(first, **batch), atol=1e-3)


def test_a_copy_has_hooks_of_its_own(adapted, batch):
    model = adapted()
    copied = copy.deepcopy(model)
    expected = logits(model, **batch)
    shake(model)
    assert torch.equal(logits(copied, **batch), expected)


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_and_two_forwards_before_a_backward(adapted, reentrant):
    batches = [small_batch(), small_batch(lambda ids: causal_graph(ids[::-1]))]
    model = adapted().train()
    for inputs in batches:
        model(**inputs, labels=inputs["input_ids"]).loss.backward()
    expected = gradients(model)
    model.zero_grad()

    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    model.enable_input_require_grads()
    one, two = (model(**inputs, labels=inputs["input_ids"]).loss for inputs in batches)
    (one + two).backward()
    found = gradients(model)
    assert found.keys() == expected.keys()
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)


def test_every_weight_has_a_gradient_in_the_second_step(adapted, batch):
    model = adapted(shaken=False).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        model(**batch, labels=batch["input_ids"]).loss.backward()
        optimizer.step()
    trained = [name for name, value in model.named_parameters() if value.requires_grad]
    assert [name for name in trained if not gradients(model).get(name, torch.zeros(1)).any()] == []


def test_rows_do_not_mix(adapted, batch):
    model = adapted()
    together = logits(model, **batch)
    for row, mask in enumerate(batch["attention_mask"]):
        ids = batch["input_ids"][row, : int(mask.sum())]
        alone = logits(model, input_ids=ids[None], **graph_tensors([causal_graph(ids.tolist())], len(ids)))
        assert torch.allclose(together[row, : len(ids)], alone[0], atol=1e-5)


def leaks(model, graph):
    """Whether later tokens change what the model says of earlier ones."""
    ids = torch.randint(1, 40, (16,), generator=torch.Generator().manual_seed(9)).tolist()
    whole = logits(model, input_ids=torch.tensor([ids]), **graph_tensors([graph(ids)], len(ids)))[0]
    for cut in range(1, len(ids)):
        part = ids[:cut]
        rows = logits(model, input_ids=torch.tensor([part]), **graph_tensors([graph(part)], cut))[0]
        if not torch.allclose(rows, whole[:cut], atol=1e-4):
            return True
    return False


def test_a_causal_graph_does_not_leak_and_an_all_pairs_graph_is_caught(adapted):
    model = adapted()
    assert not leaks(model, causal_graph)
    assert leaks(model, all_pairs_graph)


def test_attention_is_recorded_inside_the_context_only(adapted, batch):
    model = adapted(blocks=[0, 2])
    with recorded_attention(model) as recorded:
        logits(model, **batch)
    logits(model, **batch)
    assert sorted(recorded) == [0, 2]
    for ((edges, weights),) in recorded.values():
        assert weights.shape == (batch["graph_edges"].shape[1] + batch["input_ids"].numel(), 2)
        sums = torch.zeros(batch["input_ids"].numel(), 2).index_add_(0, edges.targets, weights)
        assert torch.allclose(sums, torch.ones_like(sums))


def test_recorded_hidden_states_hold_the_graphs_part(adapted, batch):
    model = adapted()
    states = model(**batch, output_hidden_states=True).hidden_states
    assert len(states) == BLOCKS + 1
    weight = model.base_model.graph_layers()[1].graph_lora_B["default"].weight
    with torch.no_grad():
        weight.mul_(2)
    again = model(**batch, output_hidden_states=True).hidden_states
    assert torch.equal(states[1], again[1])
    assert not torch.allclose(states[2], again[2])


def test_compiles_without_a_break(adapted, batch):
    model = adapted()
    compiled = torch.compile(model.get_base_model(), backend="eager", fullgraph=True)
    assert torch.allclose(logits(compiled, **batch), logits(model, **batch), atol=1e-5)


def test_a_builder_makes_graphs_that_are_not_given(adapted, batch):
    model = adapted()
    model.base_model.graph_builder = Builder()
    plain = {name: batch[name] for name in ("input_ids", "attention_mask")}
    real = batch["attention_mask"].bool()
    assert torch.allclose(logits(model, **plain)[real], logits(model, **batch)[real], atol=1e-6)


def test_other_architectures_are_one_line():
    from transformers import OPTConfig, OPTForCausalLM

    tiny = OPTConfig(hidden_size=8, ffn_dim=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=9)
    with pytest.raises(UserError, match="opt"):
        get_peft_model(OPTForCausalLM(tiny), knotwork.GraphLoraConfig(target_modules=["fc1"]))
