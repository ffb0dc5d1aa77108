"""The tasks, one file each: prompt, labels, files."""

from importlib import import_module

from knotwork.tasks.task import Task


def get(name: str) -> Task:
    """The task of that name, from ``knotwork/tasks/<name>.py`` (nothing else of the package is imported)."""
    return import_module(f"knotwork.tasks.{name}").TASK
