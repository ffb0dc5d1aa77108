"""What the splines of a trained model learned, in figures that can be drawn: functions, strength, pruning."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from peft.utils.other import transpose
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle
from transformers.pytorch_utils import Conv1D

from knotwork.adapters.kan.bases import Basis
from knotwork.adapters.kan.faithful import FaithfulMlp
from knotwork.adapters.kan.layer import KanLoraLayer, KanLoraMlp, LowRank
from knotwork.adapters.kan.splines import FullSpline, LatentSpline
from knotwork.adapters.kan.symbolic import read
from knotwork.answers import Answer, Text
from knotwork.encoding import Example
from knotwork.errors import UserError
from knotwork.inference import score

TOKENS = 1024  # that the functions are looked at on
PRUNING_EXAMPLES, PRUNING_TOKENS = 200, 4096
REMOVED = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
BINS = 64  # of a matrix's features, sorted by strength
POINTS = 49  # of a drawn function
TAIL = 0.005  # of the inputs, left out on either side of a drawn function
BLUR = 0.03  # width of the kernel of their density, in widths of the picture
FEATURES = 256  # whose basis is held at once


def pictures(model: nn.Module, answer: Answer, examples: Sequence[Example], functions: int = 1) -> dict[str, Any]:
    """Data of the pictures of a model with KAN-LoRA.

    The strength of a feature is the standard deviation of what its splines add to the output of their matrix, over
    the tokens of the first examples, as a share of the output's own. Pruning holds the weakest at their mean.

    Args:
        model: the trained model.
        answer: how it is asked.
        examples: of dev.
        functions: how many to draw for each matrix.

    Returns:
        ``splines``: functions, strength, pruning; empty for a model without splines or with infinite activations.
    """
    model.eval()
    matrices = _observed(model, answer, _first(examples, len(examples), TOKENS), functions)
    if not matrices or not all(matrix.strengths.isfinite().all() for matrix in matrices):
        return {}
    scored = _first(examples, PRUNING_EXAMPLES, PRUNING_TOKENS)
    return {
        "splines": {
            "functions": [
                matrix.draw(feature)
                for up, down in zip(matrices[::2], matrices[1::2], strict=True)
                for pair in zip(up.strongest, down.strongest, strict=True)
                for matrix, feature in zip((up, down), pair, strict=True)
            ],
            "strength": {
                "rows": [{"block": matrix.block, "matrix": matrix.name} for matrix in matrices],
                "values": [_binned(matrix.strengths) for matrix in matrices],
            },
            "pruning": _pruning(model, answer, scored, matrices),
            "score_name": "perplexity" if isinstance(answer, Text) else "accuracy",
            "examples": len(scored),
        }
    }


def chosen_function(
    model: nn.Module, answer: Answer, examples: Sequence[Example], block: int, matrix: str, feature: int
) -> dict[str, Any]:
    """Data of one function's picture, as in :func:`pictures`, with its reading as a formula.

    Args:
        model: the trained model.
        answer: how it is asked.
        examples: of dev.
        block: number of the block.
        matrix: what the base calls it, such as ``c_fc``.
        feature: number of the feature whose function it is.

    Raises:
        UserError: there are no such splines.
    """
    model.eval()
    matrices = _observed(model, answer, _first(examples, len(examples), TOKENS), None)
    found = {(one.block, one.name): one for one in matrices}
    if (block, matrix) not in found:
        there = ", ".join(f"{number} {name}" for number, name in found)
        raise UserError(f"--function: no splines in block {block}, {matrix}; there are {there}")
    one = found[block, matrix]
    if not 0 <= feature < len(one.strengths):
        raise UserError(
            f"--function: no feature {feature}; block {block}, {matrix} has 0 to {len(one.strengths) - 1}"
        )
    return one.draw(feature)


@dataclass
class _Matrix:
    """A matrix of an MLP with its splines: sum over features i and functions k of U c_ki b_k(z_i).

    Attributes:
        block: number of its block.
        name: what the base calls it.
        module: takes the matrix's inputs.
        project: inputs to the features that have splines.
        basis: the functions b.
        centre: z_i = (feature_i - centre_i) scale_i.
        scale: likewise.
        parameter: holds c up to a fixed factor, (sums, size, features).
        factor: that factor, (sums, 1, features), or 1.
        U: (outputs, sums); ``None``: the sums are the outputs.
        path: values without the spline by feature, output and x; ``None``: the features are no inputs of W_base.
    """

    block: int
    name: str
    module: nn.Module
    project: Callable[[Tensor], Tensor]
    basis: Basis
    centre: Tensor
    scale: Tensor
    parameter: nn.Parameter
    factor: Tensor | float
    U: Tensor | None
    path: Callable[[int, int, Tensor], Tensor] | None

    def watch(self, inputs: Tensor) -> None:
        """Take (tokens, inputs): mean (size, features) and covariance (features, size, size) of the basis."""
        self.features = self.project(inputs).float()
        means, covariances = [], []
        for columns in torch.arange(self.features.shape[1]).split(FEATURES):
            z = (self.features[:, columns] - self.centre[columns]) * self.scale[columns]
            values = self.basis.values(z)
            mean = values.mean(0)
            centred = (values - mean).permute(2, 1, 0)
            means.append(mean)
            covariances.append(centred @ centred.transpose(1, 2) / len(z))
        self.mean, self.covariance = torch.cat(means, 1), torch.cat(covariances)

    def measure(self, outputs: Tensor, keep: int | None) -> None:
        """Strength of every feature by the outputs (tokens, outputs); inputs of the strongest, or all, are kept."""
        coefficients = self.coefficients()
        pulled = torch.einsum("qkf,fkl->qlf", coefficients, self.covariance)
        if self.U is not None:
            pulled = torch.einsum("qp,pkf->qkf", self.U.T @ self.U, pulled)
        variances = (coefficients * pulled).sum((0, 1)).clamp(min=0)
        self.strengths = (variances / outputs.float().var(0, correction=0).sum()).sqrt()
        strongest = self.strengths.argsort(descending=True, stable=True)[:keep].tolist()
        self.strongest = {feature: self.features[:, feature].clone() for feature in strongest}
        del self.features

    def coefficients(self) -> Tensor:
        """c, (sums, size, features)."""
        return self.parameter.detach() * self.factor

    def draw(self, feature: int) -> dict[str, Any]:
        """The function of a feature for the output that it moves most, over the bulk of the inputs."""
        coefficients = self.coefficients()[..., feature]
        if self.U is not None:
            coefficients = self.U @ coefficients
        output = int(((coefficients @ self.covariance[feature]) * coefficients).sum(1).argmax())
        inputs = self.strongest[feature]
        ends = torch.quantile(inputs, inputs.new_tensor([TAIL, 1 - TAIL]))
        low, high = (ends + (ends.new_tensor([-1, 1]) if ends[0] == ends[1] else 0)).tolist()
        x = torch.linspace(low, high, POINTS, device=inputs.device)
        z = (x - self.centre[feature]) * self.scale[feature]
        spline = coefficients[output] @ self.basis.values(z.unsqueeze(1))[..., 0].T
        base = None if self.path is None else self.path(feature, output, x)
        distances = (x.unsqueeze(1) - inputs) / (BLUR * (high - low))
        density = (-distances.square() / 2).exp().mean(1)
        reading = read(*(values.double().cpu().numpy() for values in (x, spline, density)))
        return {
            "block": self.block,
            "matrix": self.name,
            "feature": feature,
            "output": output,
            "strength": _rounded(self.strengths[feature : feature + 1])[0],
            "x": _rounded(x),
            "base": None if base is None else _rounded(base),
            "total": _rounded(spline if base is None else base + spline),
            "density": _rounded(density / density.max()),
            "formula": reading and reading.formula,
            "r2": reading and round(reading.r2, 4),
        }

    @contextmanager
    def held(self, features: Tensor) -> Iterator[None]:
        """The functions of some features, a mask, held at their mean."""
        offset = (self.coefficients() * self.mean)[..., features].sum((1, 2))
        offset = offset if self.U is None else self.U @ offset
        kept = self.parameter.detach().clone()
        hook = self.module.register_forward_hook(lambda module, args, output: output + offset.to(output.dtype))
        with torch.no_grad():
            self.parameter[..., features] = 0
        try:
            yield
        finally:
            hook.remove()
            with torch.no_grad():
                self.parameter.copy_(kept)


def _observed(model: nn.Module, answer: Answer, examples: Sequence[Example], keep: int | None) -> list[_Matrix]:
    """Both matrices of every adapted block, measured on a batch of examples."""
    found, hooks = [], []
    place = next(model.parameters()).device
    batch = {name: tensor.to(place) for name, tensor in answer.collate(examples).items() if name != "labels"}
    real = batch["attention_mask"].bool()
    for name, layer in model.named_modules():
        if isinstance(layer, KanLoraLayer) and layer.working():
            block = next(int(part) for part in name.split(".") if part.isdigit())
            make = _paper if isinstance(layer, FaithfulMlp) else _hybrid
            up, down = make(block, layer, "up"), make(block, layer, "down")
            found += [up, down]
            hooks += _watch(layer, up, down, real, keep)
    try:
        with torch.no_grad():
            answer.logits(model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _watch(
    layer: KanLoraLayer, up: _Matrix, down: _Matrix, real: Tensor, keep: int | None
) -> list[RemovableHandle]:
    """Hooks that let a block's matrices see what goes in and comes out."""

    def between(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        hidden = args[0][real]
        up.measure(hidden, keep)
        down.watch(hidden)

    return [
        up.module.register_forward_pre_hook(lambda module, args: up.watch(args[0][real])),
        down.module.register_forward_pre_hook(between),
        layer.register_forward_hook(lambda module, args, output: down.measure(output[real], keep)),
    ]


def _hybrid(block: int, layer: KanLoraMlp, place: str) -> _Matrix:
    adapter = layer.working()[0]
    spline = layer.splines()[place][adapter]
    between = layer.get_base_layer().get_submodule(layer.architecture.activation)
    pretrained = nn.Identity() if place == "up" else between
    f = functional.silu if layer.configs[adapter].activation == "silu" else pretrained
    matrix = getattr(layer, place)
    weight = transpose(matrix.weight.detach(), isinstance(matrix, Conv1D))
    low_rank = None if adapter in layer.merged_adapters else getattr(layer, f"kan_lora_{place}")[adapter]
    full = isinstance(spline, FullSpline)
    return _Matrix(
        block,
        getattr(layer.architecture, place),
        spline,
        spline.project,
        spline.basis,
        spline.centre,
        spline.scale,
        spline.coefficients if full else spline.V,
        1.0,
        None if full else spline.U.detach(),
        None if isinstance(spline, LatentSpline) else _path(f, weight, low_rank),
    )


def _paper(block: int, layer: FaithfulMlp, place: str) -> _Matrix:
    adapter = layer.working()[0]
    random = getattr(layer, f"kan_lora_{place}_random")[adapter]
    features = random.base.shape[1]
    return _Matrix(
        block,
        getattr(layer.architecture, place),
        random,
        lambda x: x,
        random.basis,
        random.base.new_zeros(features),
        random.base.new_ones(features),
        random.spline,
        random.spline_scale.detach().unsqueeze(1),
        None,
        _path(functional.silu, random.base.detach(), getattr(layer, f"kan_lora_{place}")[adapter]),
    )


def _path(
    f: Callable[[Tensor], Tensor], weight: Tensor, low_rank: LowRank | None
) -> Callable[[int, int, Tensor], Tensor]:
    """(W_base + (alpha / r) B A)_oi f(x)."""

    def values(feature: int, output: int, x: Tensor) -> Tensor:
        entry = weight[output, feature]
        if low_rank is not None:
            entry = entry + low_rank.B.detach()[output] @ low_rank.A.detach()[:, feature] * low_rank.scaling
        return entry * f(x)

    return values


def _pruning(
    model: nn.Module, answer: Answer, examples: Sequence[Example], matrices: Sequence[_Matrix]
) -> list[dict[str, float]]:
    """The score with ever more of all features' splines held at their mean, the weakest first."""
    order = torch.cat([matrix.strengths for matrix in matrices]).argsort(stable=True)
    sizes = [len(matrix.strengths) for matrix in matrices]
    points = []
    for share in REMOVED:
        removed = torch.zeros(len(order), dtype=torch.bool, device=order.device)
        removed[order[: round(share * len(order))]] = True
        with ExitStack() as stack:
            for matrix, features in zip(matrices, removed.split(sizes), strict=True):
                stack.enter_context(matrix.held(features))
            points.append({"removed": share, "score": _score(model, answer, examples)})
    return points


def _score(model: nn.Module, answer: Answer, examples: Sequence[Example]) -> float:
    """Accuracy, or the perplexity of a token."""
    scores = score(model, answer, examples, TOKENS)
    if isinstance(answer, Text):
        return float(np.exp(scores.nll.sum() / scores.tokens.sum()))
    labels = [example.row.label for example in examples]
    return float((scores.probabilities.argmax(1) == labels).mean())


def _first(examples: Sequence[Example], count: int, tokens: int) -> list[Example]:
    """The first examples, at least one, within a number of examples and of tokens."""
    lengths = np.cumsum([len(example.ids) for example in examples])
    return list(examples[: min(count, max(1, int((lengths <= tokens).sum())))])


def _binned(strengths: Tensor) -> list[float]:
    """The mean of bins of features from the strongest to the weakest."""
    bins = strengths.sort(descending=True).values.tensor_split(min(BINS, len(strengths)))
    return _rounded(torch.stack([values.mean() for values in bins]))


def _rounded(values: Tensor) -> list[float]:
    """Four significant digits."""
    return [float(f"{value:.4g}") for value in values.tolist()]
