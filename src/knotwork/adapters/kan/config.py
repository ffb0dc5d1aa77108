"""Configuration of Hybrid KAN-LoRA as a PEFT method."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from peft import PeftConfig

from knotwork.adapters.kan.bases import BASES
from knotwork.adapters.kan.splines import SPLINES
from knotwork.errors import UserError

PEFT_TYPE = "KAN_LORA"


@dataclass
class KanLoraConfig(PeftConfig):
    """For both matrices of an MLP h = (W_base + (alpha / r) B A) f(x) + W_spline sigma(x).

    W_base is frozen; B and W_spline are 0 at the start, so with f as in the pretrained network the adapted one
    starts as that network. Fields have the names and the meaning of the group ``kan`` in ``params.yaml``; ranks may
    be lists with an entry for each adapted block.

    Raises:
        UserError: a value is out of its range.
    """

    r: int | list[int] = field(default=16, metadata={"help": "Rank of B A."})
    alpha: float = field(default=32, metadata={"help": "B A is scaled by alpha / r, r the largest of all blocks."})
    dropout: float = field(default=0.0, metadata={"help": "Dropout on the input of A."})
    spline: Literal["full", "factored", "latent"] = field(
        default="latent",
        metadata={"help": "W_spline dense, of rank spline_r, or on spline_r features A_s x instead of x."},
    )
    spline_r: int | list[int] | None = field(
        default=None, metadata={"help": "Rank or width of the splines; None: r. Full splines have none."}
    )
    basis: Literal["bspline", "rbf", "chebyshev"] = field(
        default="bspline", metadata={"help": "The functions sigma."}
    )
    grid_size: int = field(default=5, metadata={"help": "Intervals of the grid."})
    order: int = field(
        default=3, metadata={"help": "Order of the B-spline; in each basis there are grid_size + order functions."}
    )
    range: Literal["fitted"] | tuple[float, float] = field(
        default="fitted", metadata={"help": "Where the grid lies: fitted per feature by fit_grid, or two numbers."}
    )
    activation: Literal["pretrained", "silu"] = field(
        default="pretrained", metadata={"help": "f: what the pretrained network has at that place, or SiLU."}
    )
    blocks: Literal["all"] | int | list[int] = field(
        default="all", metadata={"help": "Blocks to adapt: all, a list of numbers, or how many from the top."}
    )
    l1: float = field(default=0.0, metadata={"help": "Weight of the splines' magnitude in the regularisation."})
    entropy: float = field(default=0.0, metadata={"help": "Weight of the entropy of the splines' magnitudes."})
    faithful: bool = field(
        default=False, metadata={"help": "The paper's random KAN in place of the MLP (see faithful.py)."}
    )
    faithful_frozen: bool = field(
        default=False, metadata={"help": "With faithful: its random weights stay frozen."}
    )
    modules_to_save: list[str] | None = field(
        default=None, metadata={"help": "Further modules to train and save whole, such as a new head."}
    )
    target_modules: set[str] | list[str] | None = field(
        default=None, metadata={"help": "Filled in from `blocks`; what stands here is not used."}
    )

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        self.peft_type = PEFT_TYPE
        for name, options in _OPTIONS.items():
            if getattr(self, name) not in options:
                raise _refusal(name, getattr(self, name), f"it is one of {', '.join(options)}")
        for name, least in {"grid_size": 1, "order": 0}.items():
            if not _whole(getattr(self, name), least):
                raise _refusal(name, getattr(self, name), f"it is a whole number from {least}")
        for name in ("r", "spline_r"):
            value = getattr(self, name)
            ranks = value if isinstance(value, list) else [value]
            if value is not None and not (ranks and all(_whole(rank, 1) for rank in ranks)):
                raise _refusal(name, value, "a rank is a whole number from 1, or a list with one for each block")
        if self.r is None:
            raise _refusal("r", None, "give a rank")
        if self.spline == "full" and self.spline_r is not None:
            raise _refusal("spline_r", self.spline_r, "full splines have no rank; leave it out")
        if self.range != "fitted":
            self.range = _checked_range(self.range)


_OPTIONS = {"basis": tuple(BASES), "spline": tuple(SPLINES), "activation": ("pretrained", "silu")}


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _checked_range(value: Any) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in value)
    except (TypeError, ValueError) as error:
        raise _refusal("range", value, "it is `fitted` or two numbers") from error
    if not (math.isfinite(high - low) and low < high):
        raise _refusal("range", value, "the first number must be the smaller one")
    return low, high


def _refusal(name: str, value: Any, rule: str) -> UserError:
    return UserError(f"kan.{name}: {value!r} is not allowed; {rule}")
