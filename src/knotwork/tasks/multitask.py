"""Several tasks at once, with one adapter: ``multitask.members``. Prompts, labels and files are its members'."""

from knotwork.tasks.task import Task

TASK = Task(name="multitask", title="Multitask", template="")
