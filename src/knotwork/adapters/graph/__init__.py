"""Graph-LoRA: LoRA, and after each block attention over the token graph, h += gate * B GATv2(A h)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from peft import PeftModel, get_peft_model
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from knotwork.adapters.adapter import Complete, Setup
from knotwork.adapters.graph.budget import ranks_for
from knotwork.adapters.graph.config import GraphLoraConfig
from knotwork.adapters.peft_adapter import PeftAdapter, train_everything
from knotwork.adapters.targets import find_targets
from knotwork.answers import Answer
from knotwork.encoding import Example
from knotwork.errors import UserError
from knotwork.graphs.pack import PackedGraphs, open_graphs
from knotwork.graphs.token_graph import TokenGraph
from knotwork.params import Graph, Graphs
from knotwork.tasks.task import Task

__all__ = ["ADAPTER", "GraphAdapter", "GraphLoraConfig"]

FAITHFUL = (
    "This run follows the paper (`faithful`): attention at full width over every pair of tokens, on top of a full "
    "fine-tune; the base's own weights lie in `base/`. No parse was used. Padding is left out of the pairs."
)
CUT = (
    " Pairs with later tokens are left out too: with them, as in the paper, the model sees what it has to predict."
)


class GraphAdapter(PeftAdapter):
    """Low-rank updates of the named matrices, and attention over token graphs; saved and loaded as LoRA is."""

    def prepare(self, model: PreTrainedModel, settings: Graph, answer: Answer, setup: Setup) -> PeftModel:
        """Put LoRA on the named matrices and a graph layer after each chosen block.

        Raises:
            UserError: modules, blocks, heads or ranks do not fit the base, or the graphs are missing or stale.
        """
        find_targets(model, settings.target_modules, "graph.target_modules")
        shared = {
            "task_type": answer.peft_task,
            "lora_alpha": settings.alpha,
            "lora_dropout": settings.dropout,
            "target_modules": list(settings.target_modules),
            "fan_in_fan_out": True,
            "modules_to_save": [answer.head] if answer.head else None,
            "heads": settings.heads,
            "attention_dropout": settings.attention_dropout,
            "blocks": settings.blocks,
        }
        if settings.faithful:
            return _faithful(model, settings, answer, setup, shared)
        header = open_graphs(setup.graphs / "train.graph").header
        ranks = settings.r, settings.graph_r
        if setup.budget is not None:
            ranks = ranks_for(setup.budget, model, settings, len(header["labels"]))
        config = GraphLoraConfig(
            r=ranks[0],
            graph_r=ranks[1],
            labels=header["labels"],
            parser={key: header["parser"][key] for key in ("name", "version", "sha256")},
            **shared,
        )
        return get_peft_model(model, config)

    def note(self, settings: Graph, answer: Answer) -> str:
        """A faithful run uses no parse."""
        if not settings.faithful:
            return ""
        return FAITHFUL + (CUT if answer.causal else "")

    def attach(self, examples: Sequence[Example], folder: Path, made: Graphs | None = None) -> list[Example]:
        """Examples with their packed graphs, whichever split they are of.

        The paper's layer needs none, and there are none for it.

        Raises:
            UserError: the graphs are stale or damaged, made from other texts, or not as ``made`` says.
        """
        expected = {} if made is None else {"edges": sorted(made.edges), "control": made.control}
        files = [open_graphs(path, expected) for path in sorted(folder.glob("*.graph"))]
        return (
            [replace(example, graph=_find(files, example.ids)) for example in examples] if files else list(examples)
        )

    def pictures(
        self, model: PeftModel, tokenizer: PreTrainedTokenizerBase, answer: Answer, examples: Sequence[Example]
    ) -> dict[str, Any]:
        """What the graph's layers attend to."""
        from knotwork.adapters.graph.pictures import pictures

        return pictures(model, tokenizer, answer, examples)

    def figures(self, folder: Path) -> dict[str, float]:
        """In-edges of a dev token on average: all of them, and those of the dependency parse."""
        file = folder / "dev.graph"
        if not file.exists():
            return {}
        summary = open_graphs(file).header["summary"]
        dependency = summary.get("edges_head", 0) + summary.get("edges_dependent", 0)
        return {
            "graph_edges_per_token": summary["mean_degree"],
            "graph_dependency_edges_per_token": dependency / summary["tokens"],
        }

    def connect(
        self, model: PeftModel, tokenizer: PreTrainedTokenizerBase, task: Task, card: dict[str, Any]
    ) -> Complete:
        """Read new texts as those of the training graphs were read; a language model follows its own text.

        Raises:
            UserError: that parser is not there any more.
        """
        config = model.active_peft_config
        if config.faithful:
            return list
        # Loaded for new texts only: spaCy takes a second.
        from knotwork.graphs.build import GraphBuilder, pipeline_for, reader_identity

        made = card["graphs"]
        found = reader_identity(task, made["parser"])["sha256"]
        if found != config.parser["sha256"]:
            raise UserError(
                f"graphs.parser: trained on graphs of a parser with hash {config.parser['sha256'][:12]}, but "
                f"{made['parser']} now has {found[:12]}; restore that parser or train again"
            )
        nlp = pipeline_for(task, made["parser"])
        builder = GraphBuilder(
            nlp, tokenizer, task, made["edges"], made["control"], card["decisive"]["corpus.seed"]
        )
        if not builder.whole:
            model.base_model.graph_builder = builder
        return builder.examples


def _faithful(
    model: PreTrainedModel, settings: Graph, answer: Answer, setup: Setup, shared: dict[str, Any]
) -> PeftModel:
    """The paper's layer, with everything trainable."""
    if setup.budget is not None:
        raise UserError(
            "budget.trainable_parameters: the paper's layer (graph.faithful) has the size that it has; set it to "
            "null and give graph.r and graph.graph_r"
        )
    if model.config.hidden_size % settings.heads:
        raise UserError(f"graph.heads: {settings.heads} do not divide the base's width {model.config.hidden_size}")
    config = GraphLoraConfig(r=settings.r, graph_r=settings.graph_r, faithful=True, causal=answer.causal, **shared)
    return train_everything(get_peft_model(model, config))


def _find(files: Sequence[PackedGraphs], ids: Sequence[int]) -> TokenGraph:
    """A prompt's graph, from the file that has it."""
    for packed in files[:-1]:
        try:
            return packed.find(ids)
        except UserError:
            continue
    return files[-1].find(ids)


ADAPTER = GraphAdapter()
