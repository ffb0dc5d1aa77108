"""The figures of the paper that this project reproduces, and what they were measured on."""

from dataclasses import dataclass
from pathlib import PurePosixPath

SOURCE = "https://arxiv.org/abs/2504.10490"
TITLE = "GPT Meets Graphs and KAN Splines"

# The course's files stand behind these manifests; only the Quora files differ between the two.
OFFICIAL_TASKS = {
    "cs224n": {"sst", "cfimdb", "quora", "sonnet"},
    "cs224n-quora-mini": {"sst", "cfimdb", "sonnet"},
}
OFFICIAL_BASES = {"gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"}


@dataclass(frozen=True)
class Published:
    """A published figure: the metric as ``metrics.json`` names it, its value, the split if stated."""

    metric: str
    value: float
    split: str | None


PAPER = {
    "sst": Published("accuracy", 0.55249, "test"),
    "cfimdb": Published("accuracy", 0.9918, "dev"),
    "quora": Published("accuracy", 0.899, "test"),
    "sonnet": Published("chrf_whole", 42.097, None),
}


def same_corpus(manifest: str, task: str) -> bool:
    """Whether a task's files are those that the paper used."""
    return task in OFFICIAL_TASKS.get(manifest, set())


def same_base(name: str) -> bool:
    """Whether the base is one of the GPT-2 models."""
    return PurePosixPath(name).name in OFFICIAL_BASES
