"""The ``knotwork`` command: predict, generate, inspect."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from knotwork.errors import UserError, run_main

SEPARATOR = "\t"


def main() -> None:
    """Entry point of the ``knotwork`` command."""
    parser = _parser()
    arguments, rest = parser.parse_known_args()
    # Python 3.11's argparse ends a list of texts at the first option; what follows it belongs to the list too.
    if rest and ("text" not in arguments or any(part.startswith("-") for part in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.text.extend(rest)
    run_main(lambda: arguments.work(arguments))


def predict(arguments: argparse.Namespace) -> None:
    """Print label, its name, probability and text for each text."""
    from knotwork.runs import load_run
    from knotwork.tasks import get

    texts = _lines(arguments.text, arguments.file)
    run = load_run(arguments.run, arguments.seed)
    pairs = len(getattr(get(run.card["task"]), "text_columns", ())) > 1
    parts = [tuple(text.split(SEPARATOR)) if pairs else text for text in texts]
    for text, prediction in zip(texts, run.predict(parts), strict=True):
        share = prediction.probabilities[prediction.label]
        print(f"{prediction.label}\t{prediction.name}\t{share:.3f}\t{text}")


def generate(arguments: argparse.Namespace) -> None:
    """Print a sonnet for each opening: blocks of lines, separated by blank lines."""
    from knotwork.runs import load_run

    text = _read(arguments.prompt_file)
    openings = [block.strip("\n") for block in text.replace("\r\n", "\n").split("\n\n") if block.strip()]
    if not openings:
        raise UserError(f"{arguments.prompt_file}: empty; give openings separated by blank lines")
    run = load_run(arguments.run, arguments.seed)
    settings = {
        "temperature": arguments.temperature,
        "top_p": arguments.top_p,
        "max_new_tokens": arguments.max_new_tokens,
        "seed": arguments.sample,
    }
    print("\n\n".join(run.generate(openings, **settings)))


def inspect(arguments: argparse.Namespace) -> None:
    """Print the key figures of the base, the parser or a run."""
    from knotwork.identity import base_folder, base_identity, parser_identity
    from knotwork.params import load_params

    if arguments.what == "run":
        from knotwork.runs import find_card

        if arguments.folder is None:
            raise UserError("inspect run: name the run's folder, e.g. models/sst")
        _table(find_card(Path(arguments.folder), arguments.seed))
        return
    params = load_params()
    if arguments.what == "base":
        folder = base_folder(params.base.path, params.base.revision)
        identity = base_identity(params.base.path, params.base.revision)
        identity["files"] = ", ".join(identity["files"])
    else:
        folder, identity = Path(params.graphs.parser), parser_identity(params.graphs.parser)
    card = folder / "card.json"
    figures = json.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}
    _table(identity | {"card": figures})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="knotwork", description="Use and look into trained adapters.")
    commands = parser.add_subparsers(required=True, metavar="command")

    command = commands.add_parser("predict", help="classify texts with a trained run")
    command.add_argument("run", help="folder of a task's runs or of one run, e.g. models/sst")
    command.add_argument("text", nargs="*", help="texts; question pairs hold a tab; none: standard input")
    command.add_argument("--file", help="a file with a text on each line; - is standard input")
    command.add_argument("--seed", type=int, help="which seed's run (default: the lowest)")
    command.set_defaults(work=predict)

    command = commands.add_parser("generate", help="write sonnets from their first lines")
    command.add_argument("run", help="folder of the sonnet runs, e.g. models/sonnet")
    command.add_argument(
        "--prompt-file", required=True, help="openings with blank lines between; - is standard input"
    )
    command.add_argument("--seed", type=int, help="which seed's run (default: the lowest)")
    command.add_argument("--sample", type=int, default=0, help="seed of the sampling (default 0)")
    command.add_argument("--temperature", type=float, default=0.8)
    command.add_argument("--top-p", type=float, default=0.9)
    command.add_argument("--max-new-tokens", type=int, default=300)
    command.set_defaults(work=generate)

    command = commands.add_parser("inspect", help="print the card of the base, the parser or a run")
    command.add_argument("what", choices=["base", "parser", "run"])
    command.add_argument("folder", nargs="?", help="the run's folder")
    command.add_argument("--seed", type=int, help="which seed's run (default: the lowest)")
    command.set_defaults(work=inspect)
    return parser


def _lines(texts: Sequence[str], file: str | None) -> list[str]:
    if texts and file:
        raise UserError("predict: give texts or --file, not both")
    if not texts:
        texts = [line for line in _read(file or "-").splitlines() if line.strip()]
    if not texts:
        raise UserError("predict: no text given")
    return list(texts)


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 (byte {error.start}); save it as UTF-8") from error


def _table(values: dict[str, Any]) -> None:
    """Print nested values, one dotted key a line."""
    rows = _flat(values)
    width = max(len(key) for key, _ in rows)
    for key, value in rows:
        print(f"{key:<{width}}  {value}")


def _flat(values: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    rows = []
    for key, value in values.items():
        if isinstance(value, dict):
            rows.extend(_flat(value, f"{above}{key}."))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            rows.extend(row for index, each in enumerate(value) for row in _flat(each, f"{above}{key}.{index}."))
        else:
            rows.append((f"{above}{key}", f"{value:.4g}" if isinstance(value, float) else str(value)))
    return rows
