"""Knotwork: adapters for GPT-2, compared fairly.

``knotwork.load_run("models/sst")`` loads a trained run. Nothing heavy is imported before it is used; PEFT knows
``KanLoraConfig`` and ``GraphLoraConfig`` as soon as both packages are imported.
"""

from importlib import import_module
from typing import Any

from knotwork.registration import register_with_peft

__all__ = ["GraphLoraConfig", "KanLoraConfig", "Run", "UserError", "fit_grid", "load_run"]
_HOMES = {
    "GraphLoraConfig": "knotwork.adapters.graph.config",
    "KanLoraConfig": "knotwork.adapters.kan.config",
    "Run": "knotwork.runs",
    "UserError": "knotwork.errors",
    "fit_grid": "knotwork.adapters.kan.fit",
    "load_run": "knotwork.runs",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'knotwork' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


register_with_peft()
