"""What the scripts of this folder share: their parameters, and one line instead of a traceback.

These scripts need torch, transformers, tokenizers, numpy, pyyaml and tqdm, and not the package beside
them, so that they also run on a bare machine with an accelerator.
"""

import argparse
import copy
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml


class Mistake(Exception):
    """Bad input: which file or parameter, what is wrong, what to do, in one line."""


class Settings:
    """The values of a parameter file after the overrides given on the command line.

    Attributes:
        values: the nested mapping.
        folder: the folder of the parameter file; relative paths in it start there.
    """

    def __init__(self, path: Path, overrides: list[str]) -> None:
        """Read ``path`` and apply overrides of the form ``group.key=value``.

        Raises:
            Mistake: the file cannot be read, or an override names a key that the file does not have.
        """
        self.folder = path.resolve().parent
        try:
            self.values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise Mistake(f"{path}: cannot be read as YAML ({error})".replace("\n", " ")) from error
        for override in overrides:
            name, equals, value = override.partition("=")
            *groups, key = name.split(".")
            target = self.values
            for group in groups:
                target = target.get(group) if isinstance(target, dict) else None
            if not equals or not isinstance(target, dict) or key not in target:
                raise Mistake(f"--set {override}: {path.name} has no such key; write --set group.key=value")
            target[key] = yaml.safe_load(value)

    def group(self, name: str) -> dict[str, Any]:
        """A copy of one group of parameters."""
        if not isinstance(self.values.get(name), dict):
            raise Mistake(f"{name}: no such group of parameters; there are {', '.join(self.values)}")
        return copy.deepcopy(self.values[name])

    def path(self, *parts: str) -> Path:
        """A path given relative to the parameter file."""
        return self.folder.joinpath(*parts)


def arguments(description: str, *names: str) -> tuple[argparse.Namespace, Settings]:
    """Parse positional ``names`` and the options ``--params`` and ``--set`` that all scripts have."""
    parser = argparse.ArgumentParser(description=description)
    for name in names:
        parser.add_argument(name)
    default = Path(__file__).with_name("params.yaml")
    parser.add_argument("--params", type=Path, default=default, help="parameter file (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="group.key=value", help="override one key")
    parsed = parser.parse_args()
    return parsed, Settings(parsed.params, parsed.set)


def run(main: Callable[[], None]) -> None:
    """Call ``main``; a :class:`Mistake` becomes one line on stderr and exit status 2."""
    try:
        main()
    except Mistake as mistake:
        print(f"error: {mistake}", file=sys.stderr)
        sys.exit(2)


def replace_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
