"""Compiled bases: the same numbers, one compilation, and one line on which way the splines go."""

import shutil

import pytest
import torch
from torch._dynamo.utils import counters

from knotwork.adapters.kan import fused
from knotwork.adapters.kan.bases import BSpline, Chebyshev, Gaussian
from knotwork.adapters.kan.fused import Fused, fuse

from .conftest import logits, training_steps

compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")


@pytest.fixture
def long(monkeypatch):
    """Every training is long enough."""
    monkeypatch.setattr(fused, "PAYS", 0)


@compiler
@torch.no_grad()
@pytest.mark.parametrize("basis", [BSpline(5, 3), Gaussian(5, 3), Chebyshev(5, 3)])
def test_compiled_once_and_equal(basis):
    one = Fused(basis)
    one.warm_up(torch.device("cpu"))
    compiled = counters["stats"]["unique_graphs"]
    torch.manual_seed(0)
    for shape in [(64, 16), (16, 16), (8, 30), (1, 16), (30, 1), (200, 48)]:
        x = torch.randn(shape)
        gradient = torch.randn(shape[0], one.size, shape[1])
        values, pull = one.values_and_pull(x)
        expected, plain_pull = basis.values_and_pull(x)
        assert torch.allclose(values, expected, atol=1e-6)
        assert torch.allclose(one.values(x), expected, atol=1e-6)
        assert torch.allclose(pull(gradient.clone()), plain_pull(gradient.clone()), atol=1e-4)
        assert torch.equal(one.derivatives(x), basis.derivatives(x))
    assert counters["stats"]["unique_graphs"] == compiled > 0


@compiler
def test_a_model_trains_compiled_as_it_does_eager(adapted, batch, long):
    eager, compiled = adapted(spline="factored"), adapted(spline="factored")
    assert fuse(compiled, 1) == "splines compiled"
    graphs = counters["stats"]["unique_graphs"]
    for model in (eager, compiled):
        torch.manual_seed(1)  # dropout
        training_steps(model, batch)
    shorter = {key: value[:3, :7] for key, value in batch.items()}
    for inputs in (batch, shorter):
        assert torch.allclose(logits(compiled, inputs), logits(eager, inputs), atol=1e-4)
    assert counters["stats"]["unique_graphs"] == graphs > 0


def test_the_papers_random_splines_are_fused_too(adapted, long, monkeypatch):
    monkeypatch.setattr(Fused, "warm_up", lambda self, device: None)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    model = adapted(faithful=True)
    assert fuse(model, 1) == "splines compiled"
    bases = [module.basis for module in model.modules() if hasattr(module, "basis")]
    assert len(bases) == 4
    assert all(isinstance(basis, Fused) for basis in bases)


def test_a_short_training_stays_eager(adapted):
    model = adapted(spline="factored")
    features = 2 * (16 + 64)  # two blocks, inputs of both matrices
    assert fuse(model, 100) == f"splines eager: compiling pays from 1e+09 inputs on, these are {100 * features:.0e}"
    assert not any(isinstance(getattr(module, "basis", None), Fused) for module in model.modules())


def test_a_fine_grid_stays_eager(adapted, long):
    assert fuse(adapted(grid_size=13), 1) == "splines eager: only grids of up to 12 intervals are compiled"


def test_without_a_compiler_it_stays_eager(adapted, long, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert fuse(adapted(), 1) == "splines eager: there is no C++ compiler (g++, clang++ or $CXX)"


def test_what_does_not_compile_stays_eager(adapted, batch, long, monkeypatch):
    def broken(self, device):
        raise RuntimeError

    monkeypatch.setattr(Fused, "warm_up", broken)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    model = adapted()
    assert fuse(model, 1) == "splines eager: they do not compile here (RuntimeError)"
    assert all(gradient > 0 for gradient in training_steps(model, batch).values())
