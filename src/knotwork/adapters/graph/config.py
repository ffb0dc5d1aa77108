"""Configuration of Graph-LoRA."""

from dataclasses import dataclass, field
from typing import Any

from peft import LoraConfig

from knotwork.errors import UserError


@dataclass
class GraphLoraConfig(LoraConfig):
    """LoRA on the target modules, and graph attention over the token graph after the chosen blocks.

    Every field of :class:`peft.LoraConfig` keeps its meaning.

    Args:
        graph_r (int): Width of z = A h, shared out over the heads.
        heads (int): Attention heads; divides ``graph_r``.
        attention_dropout (float): Probability with which an edge is left out of a head in training.
        blocks (str | int | list[int]): Blocks that get a graph: ``"all"``, how many from the top, or their numbers.
        labels (list[str]): Dependency labels in the order of their codes (0 stands for no label).
        parser (dict | None): Name, version and hash of the parser that made the graphs trained on.
        faithful (bool): The paper's layer in place of ours: full width, all pairs of tokens.
        causal (bool): Whether ``faithful`` joins a token with earlier ones only, as language modelling needs.
    """

    graph_r: int = field(default=16, metadata={"help": "Width of z = A h, shared out over the heads."})
    heads: int = field(default=4, metadata={"help": "Attention heads; divides graph_r."})
    attention_dropout: float = field(default=0.0, metadata={"help": "Dropout on the attention weights."})
    blocks: str | int | list[int] = field(
        default="all", metadata={"help": "Blocks that get a graph: 'all', how many from the top, or their numbers."}
    )
    labels: list[str] = field(default_factory=list, metadata={"help": "Dependency labels by code, from 1."})
    parser: dict[str, Any] | None = field(default=None, metadata={"help": "The parser that made the graphs."})
    faithful: bool = field(default=False, metadata={"help": "The paper's full-width all-pairs layer."})
    causal: bool = field(default=True, metadata={"help": "Whether the paper's layer sees earlier tokens only."})

    def __post_init__(self) -> None:
        """Name the method, and check that the heads share out the width."""
        super().__post_init__()
        self.peft_type = "GRAPH_LORA"
        if self.graph_r < 1 or self.heads < 1 or self.graph_r % self.heads:
            raise UserError(
                f"graph.heads: {self.heads} heads cannot share out graph_r {self.graph_r} evenly; "
                "choose a graph_r that heads divides"
            )
