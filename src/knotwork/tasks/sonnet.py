"""Sonnets: the rest of a sonnet after its first three lines."""

from knotwork.tasks.task import Sonnets

TASK = Sonnets(name="sonnet", title="Sonnet generation", template="{0}")
