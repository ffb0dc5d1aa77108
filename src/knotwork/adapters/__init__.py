"""The adapters, one package each; see :class:`knotwork.adapters.adapter.Adapter`."""

from importlib import import_module

from knotwork.adapters.adapter import Adapter


def get(name: str) -> Adapter:
    """The adapter of that name (no other one is imported)."""
    return import_module(f"knotwork.adapters.{name}").ADAPTER
