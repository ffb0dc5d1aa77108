import pytest
import torch
from peft import get_peft_model

from knotwork import KanLoraConfig, UserError
from knotwork.adapters.kan import fit_grid

from .conftest import logits, small_base, training_steps


def inputs_of_the_mlp(base, batch, block=1):
    """What c_fc and c_proj's activation of a block of the base see, tokens without padding."""
    seen = {}
    mlp = base.transformer.h[block].mlp
    mlp.c_fc.register_forward_hook(lambda module, args, result: seen.update(up=args[0], down=result))
    logits(base, batch)
    return {place: value[batch["attention_mask"].bool()] for place, value in seen.items()}


def splines_of(model, block=1):
    layer = model.base_model.model.transformer.h[block].mlp
    return {place: splines["default"] for place, splines in layer.splines().items()}


@pytest.mark.parametrize("spline", ["full", "factored"])
def test_ends_are_three_deviations_from_the_mean(adapted, base, batch, spline):
    splines, seen = splines_of(adapted(spline=spline)), inputs_of_the_mlp(base(), batch)
    for place, part in splines.items():
        features = part.project(seen[place])
        width = 3 * features.std(0, correction=0)
        assert torch.allclose(part.centre, features.mean(0), atol=1e-5)
        wide = width > 0.011 * width.median()
        assert wide.any()
        assert torch.allclose(1 / part.scale[wide], width[wide], rtol=1e-3)


def test_latent_features_are_centred_and_of_unit_size(adapted, base, batch):
    splines, seen = splines_of(adapted(spline="latent")), inputs_of_the_mlp(base(), batch)
    for place, part in splines.items():
        assert torch.allclose(part.mean, seen[place].mean(0), atol=1e-5)
        assert torch.allclose(part.project(seen[place]).square().mean(-1), torch.ones(len(seen[place])), atol=0.05)
        assert torch.allclose(1 / part.scale, torch.tensor(3.0))
        assert not part.centre.any()


def test_latent_features_stay_on_the_grid_when_their_directions_move(adapted, base, batch):
    """Along the activations' common mean they would leave it, and their splines would learn nothing more."""
    splines, seen = splines_of(adapted(spline="latent")), inputs_of_the_mlp(base(), batch)
    for place, part in splines.items():
        with torch.no_grad():
            part.A += 10 * torch.nn.functional.normalize(seen[place].mean(0), dim=0)
        on_grid = ((part.project(seen[place]) - part.centre) * part.scale).abs() < 1
        assert on_grid.float().mean() > 0.9


def test_hardly_an_activation_lies_outside(adapted, base, batch):
    splines, seen = splines_of(adapted(spline="full")), inputs_of_the_mlp(base(), batch)
    for place, part in splines.items():
        outside = ((seen[place] - part.centre) * part.scale).abs() > 1
        assert outside.float().mean() < 0.01


def test_batches_and_padding_change_nothing(adapted, batch):
    whole = splines_of(adapted())
    rows = [{key: value[row : row + 1] for key, value in batch.items()} for row in range(4)]
    again = adapted()
    fit_grid(again, iter(rows))
    padded = {key: torch.nn.functional.pad(value, (0, 3)) for key, value in batch.items()}
    fit_padded = adapted()
    fit_grid(fit_padded, [padded])
    for place, part in whole.items():
        for other in (splines_of(again)[place], splines_of(fit_padded)[place]):
            assert torch.allclose(part.centre, other.centre, atol=1e-6)
            assert torch.allclose(part.scale, other.scale, rtol=1e-4)


def test_labels_and_the_training_mode_do_not_matter(adapted, batch):
    model, expected = adapted(), splines_of(adapted())
    model.train()
    fit_grid(model, [{**batch, "labels": batch["input_ids"]}])
    assert model.training
    assert all(torch.equal(part.scale, expected[place].scale) for place, part in splines_of(model).items())


def test_grid_is_saved_with_the_adapter(adapted, base, batch, tmp_path):
    from peft import PeftModel

    model = adapted()
    model.save_pretrained(tmp_path)
    again = splines_of(PeftModel.from_pretrained(base(), tmp_path))
    assert all(torch.equal(part.scale, again[place].scale) for place, part in splines_of(model).items())


def test_a_constant_feature_gets_a_grid_too(base, batch):
    dead = base()
    with torch.no_grad():
        for block in dead.transformer.h:
            block.mlp.c_fc.weight[:, :5] = 0
    model = get_peft_model(dead, KanLoraConfig(r=3, spline="full"))
    fit_grid(model, [batch])
    scale = splines_of(model)["down"].scale
    assert scale.isfinite().all()
    assert scale[:5].max() <= 101 * scale.median()
    assert all(gradient < 1e4 for gradient in training_steps(model, batch).values())


def test_training_unfitted_is_one_line(base, batch):
    model = get_peft_model(base(), KanLoraConfig(r=3))
    with pytest.raises(UserError, match=r"kan\.range: the splines are not fitted yet"):
        training_steps(model, batch)


def test_a_given_range_needs_no_fit(adapted, batch):
    model = adapted(range=(-2, 4))
    assert all(gradient > 0 for gradient in training_steps(model, batch).values())
    for part in splines_of(model).values():
        assert torch.equal(part.centre, torch.ones_like(part.centre))
        assert torch.allclose(part.scale, torch.full_like(part.scale, 1 / 3))
    with pytest.raises(UserError, match=r"kan\.range: the model has no splines whose range is to be fitted"):
        fit_grid(model, [batch])


@pytest.mark.parametrize(("matrix", "block"), [("c_fc", 0), ("c_fc", 1), ("c_proj", 0)])
def test_activations_that_are_not_finite_name_the_block(batch, matrix, block):
    broken = small_base()
    with torch.no_grad():
        getattr(broken.transformer.h[block].mlp, matrix).weight[0, 0] = torch.inf
    model = get_peft_model(broken, KanLoraConfig(r=3, spline="factored"))
    # The result of c_fc is what c_proj's splines see; the result of c_proj reaches the next block.
    where = rf"block {block} \(c_proj\)" if matrix == "c_fc" else rf"block {block + 1} \(c_fc\)"
    with pytest.raises(UserError, match=rf"activations of {where} are not finite"):
        fit_grid(model, [batch])


def test_no_batch_is_one_line(adapted):
    with pytest.raises(UserError, match="no batch to fit the grid on"):
        fit_grid(adapted(), [])


def test_a_model_without_splines_is_one_line(base, batch):
    with pytest.raises(UserError, match="no splines whose range"):
        fit_grid(base(), [batch])
