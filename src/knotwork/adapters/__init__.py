"""The adapters, one package each.

Every package offers the same three functions:

``prepare(model, settings, answer)``
    makes the adapter's weights trainable in a fresh base and returns the model to train;
``save(model, folder, answer)``
    writes what was trained;
``load(folder, base, answer)``
    gives the model back; ``base(folder=None)`` makes a fresh base model, or reads one from a folder.
"""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from transformers import PreTrainedModel

FreshBase = Callable[..., PreTrainedModel]
"""``base()`` is a fresh base model, ``base(folder)`` the same architecture read from a folder."""

__all__ = ["FreshBase", "get"]


def get(name: str) -> ModuleType:
    """The adapter package of that name (no other adapter is imported)."""
    return import_module(f"knotwork.adapters.{name}")
