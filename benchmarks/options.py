"""What the commands that train have in common: their options, and what these change of params.yaml."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kan_trials import EXAMPLES

from knotwork.errors import UserError
from knotwork.params import Params, load_params, validate
from knotwork.study.declaration import with_settings

CLASSIFIED = ("sst", "cfimdb", "quora")
PASSES = 100


def parser(about: str, out: str, seeds: Sequence[int] | None = None) -> argparse.ArgumentParser:
    """A parser with the options of all of them.

    Args:
        about: the script's docstring, whose first line says what it does.
        out: the folder that results go to.
        seeds: those that are used where none are given; None: those of params.yaml.
    """
    made = argparse.ArgumentParser(description=about.partition("\n")[0])
    made.add_argument("--task", default="sst", help=f"one of {', '.join(CLASSIFIED)}")
    made.add_argument("--rows", type=int, help="training rows; by default those of params.yaml")
    made.add_argument("--epochs", type=int, help=f"by default those of params.yaml; memorise: at most {PASSES}")
    usual = "those of params.yaml" if seeds is None else " ".join(map(str, seeds))
    made.add_argument("--seeds", type=int, nargs="+", default=seeds, help=f"by default {usual}")
    made.add_argument("--out", type=Path, default=Path(out), help=f"folder of the results, by default {out}")
    return made


def settings(arguments: argparse.Namespace) -> Params:
    """params.yaml with what the command line changes.

    Raises:
        UserError: the task has no classes, or a value is out of range.
    """
    if arguments.task not in CLASSIFIED:
        raise UserError(f"--task: {arguments.task!r} is not a task with classes; there are {', '.join(CLASSIFIED)}")
    memorise = arguments.question == "memorise"
    if memorise and arguments.rows is not None and arguments.rows < EXAMPLES:
        raise UserError(
            f"--rows: {arguments.rows} are too few, memorise takes {EXAMPLES}; give more or leave it out"
        )
    epochs = arguments.epochs if arguments.epochs is not None else PASSES if memorise else None
    given = {
        f"corpus.max_rows.{arguments.task}": arguments.rows,
        f"train.epochs.{arguments.task}": epochs,
        "seeds": arguments.seeds,
    }
    params = changed(load_params(), {key: value for key, value in given.items() if value is not None})
    if getattr(params.train.epochs, arguments.task) < 1:
        raise UserError(f"train.epochs.{arguments.task}: there is nothing to see without an epoch; give --epochs")
    return params


def changed(params: Params, changes: dict[str, Any]) -> Params:
    """The parameters with some replaced, by dotted key; early stopping is off.

    Raises:
        UserError: they do not go together.
    """
    values = with_settings(params.model_dump(), {"train.patience": None, **changes})
    return validate(values, "params.yaml")


def command(script: str, arguments: argparse.Namespace, options: Sequence[str]) -> str:
    """The command line as one would give it again."""
    given = {key: getattr(arguments, key) for key in options if getattr(arguments, key) is not None}
    words = [f"--{key.replace('_', '-')} {_words(value)}" for key, value in given.items()]
    return " ".join([f"python benchmarks/{script}", *words])


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
