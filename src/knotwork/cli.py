"""The ``knotwork`` command: predict, generate, compare, inspect."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from knotwork.errors import UserError, run_main

SEPARATOR = "\t"


def main() -> None:
    """Entry point of the ``knotwork`` command."""
    parser = _parser()
    arguments, rest = parser.parse_known_args()
    # Python 3.11's argparse ends a list at the first option; what follows it belongs to the list too.
    listed = next((name for name in ("text", "runs") if name in arguments), None)
    if rest and (listed is None or any(part.startswith("-") for part in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        getattr(arguments, listed).extend(rest)
    run_main(lambda: arguments.work(arguments))


def predict(arguments: argparse.Namespace) -> None:
    """Print label, its name, probability and text for each text."""
    from knotwork.runs import load_run

    texts = _lines(arguments.text, arguments.file)
    run = load_run(arguments.run, arguments.seed).member(arguments.task)
    pairs = len(getattr(run.task, "text_columns", ())) > 1
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
        "best_of": arguments.best_of,
    }
    print("\n\n".join(run.generate(openings, **settings)))


def compare(arguments: argparse.Namespace) -> None:
    """Hold runs against the first of them."""
    from knotwork.compare import Output, compare

    files = (None if name is None else Path(name) for name in (arguments.markdown, arguments.html, arguments.csv))
    compare(arguments.runs, Output(*files), Path(arguments.corpus))


def inspect(arguments: argparse.Namespace) -> None:
    """Print the key figures of the base, the parser, a run, a token graph or a run's splines."""
    from knotwork.identity import base_folder, base_identity, parser_identity
    from knotwork.params import load_params

    if arguments.what == "graph":
        _table(_graph(arguments))
        return
    if arguments.what == "kan":
        print("\n\n".join(_splines(arguments)))
        return
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


def _graph(arguments: argparse.Namespace) -> dict[str, Any]:
    """Text and statistics of one packed graph; draws it on request."""
    from knotwork.files import write_text
    from knotwork.graphs.align import Pieces
    from knotwork.graphs.pack import open_graphs
    from knotwork.graphs.tokens import open_tokenizer
    from knotwork.graphs.view import statistics, svg
    from knotwork.identity import base_folder
    from knotwork.params import load_params

    if arguments.folder is None:
        raise UserError("inspect graph: name the graphs' folder, e.g. data/graphs/sst")
    params = load_params()
    pieces = Pieces(open_tokenizer(base_folder(params.base.path, params.base.revision)))
    packed = open_graphs(Path(arguments.folder) / f"{arguments.split}.graph", {"tokenizer": pieces.sha256})
    if not 0 <= arguments.row < len(packed):
        raise UserError(f"inspect graph: no row {arguments.row}; {packed.path} has rows 0 to {len(packed) - 1}")
    graph, ids = packed.graph(arguments.row), packed.ids(arguments.row).tolist()
    if arguments.svg:
        texts = [pieces.text([code]) for code in ids]
        write_text(Path(arguments.svg), svg(graph, texts, packed.header["labels"]) + "\n")
    named = {"text": pieces.text(ids), **statistics(graph)}
    return named | {key: packed.header[key] for key in ("parser", "control", "summary")}


def _splines(arguments: argparse.Namespace) -> Iterator[str]:
    """Tables of what the splines of a run learned, measured on dev; draws it on request."""
    import pandas as pd

    from knotwork.adapters.kan.pictures import chosen_function, pictures
    from knotwork.encoding import encode
    from knotwork.files import write_text
    from knotwork.report import splines, svg
    from knotwork.report.records import SplinePictures
    from knotwork.runs import load_run

    if arguments.folder is None:
        raise UserError("inspect kan: name the run's folder, e.g. models/sst")
    run = load_run(arguments.folder, arguments.seed).member(arguments.task)
    if run.card["adapter"] != "kan":
        raise UserError(f"{arguments.folder}: a run of {run.card['adapter']}; only those of kan have splines")
    name, trained = run.task.name, run.card["decisive"]["task"]
    rows = run.task.read(Path("data/raw") / (name if trained == name else f"{trained}/{name}"), "dev").rows
    examples = encode(run.task, rows, run.tokenizer, run.card["max_length"])
    found = pictures(run.model, run.answer, examples, functions=3).get("splines")
    if found is None:
        raise UserError(f"{arguments.folder}: activations are not finite; train with a lower learning rate")
    title = "The strongest functions"
    if arguments.function:
        block, matrix, feature = arguments.function
        place = _whole(block, "--function"), matrix, _whole(feature, "--function")
        found["functions"] = [chosen_function(run.model, run.answer, examples, *place)]
        title = "The function"
    columns = ["block", "matrix", "feature", "output", "strength", "r2", "formula"]
    functions = pd.DataFrame(found["functions"])[columns].sort_values(["block", "matrix"], kind="stable")
    strength = pd.DataFrame(found["strength"]["rows"]).assign(
        strongest=[max(values) for values in found["strength"]["values"]],
        mean=[sum(values) / len(values) for values in found["strength"]["values"]],
    )
    yield f"{title}\n" + functions.to_string(index=False, na_rep="", float_format="{:.3g}".format)
    yield "Strength by matrix\n" + strength.to_string(index=False, float_format="{:.3g}".format)
    pruning = pd.DataFrame(found["pruning"]).rename(columns={"score": found["score_name"]})
    yield "Without the weakest\n" + pruning.to_string(index=False, float_format="{:.4g}".format)
    if arguments.svg:
        drawn = splines.draw(run.task.name, run.task.title, SplinePictures.model_validate(found))
        for name, picture in drawn.items():
            write_text(Path(arguments.svg) / f"{name}.svg", svg.standalone(picture))


def _whole(text: str, option: str) -> int:
    if not text.isdecimal():
        raise UserError(f"{option}: {text!r} is not a whole number")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="knotwork", description="Use, compare and look into trained adapters.")
    commands = parser.add_subparsers(required=True, metavar="command")

    command = commands.add_parser("predict", help="classify texts with a trained run")
    command.add_argument("run", help="folder of a task's runs or of one run, e.g. models/sst")
    command.add_argument("text", nargs="*", help="texts; question pairs hold a tab; none: standard input")
    command.add_argument("--task", help="of a multitask run, the member to ask, e.g. sst")
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
    command.add_argument(
        "--best-of", type=int, default=1, help="samples, of which the likeliest is kept (default 1)"
    )
    command.set_defaults(work=generate)

    command = commands.add_parser("compare", help="hold runs against the first of them, with paired tests")
    command.add_argument(
        "runs",
        nargs="*",
        help="folders of results, experiments, branches, commits or `workspace`, the folder first where a name is "
        "both; none: the workspace and the experiments of the current commit",
    )
    command.add_argument("--markdown", metavar="FILE", help="write summary and tables as Markdown")
    command.add_argument("--html", metavar="FILE", help="write everything as one self-contained page")
    command.add_argument(
        "--csv",
        metavar="FOLDER",
        help="write the data of the page's figures (with --html by default into a folder beside the page)",
    )
    command.add_argument(
        "--corpus",
        metavar="FOLDER",
        default="data/raw",
        help="the corpus by task, for texts that results hold only as hashes: true sonnets, examples to show "
        "(default data/raw, where it exists)",
    )
    command.set_defaults(work=compare)

    command = commands.add_parser("inspect", help="look into the base, the parser, a run, a token graph or splines")
    command.add_argument("what", choices=["base", "parser", "run", "graph", "kan"])
    command.add_argument("folder", nargs="?", help="the run's folder, or the graphs', e.g. data/graphs/sst")
    command.add_argument("--seed", type=int, help="which seed's run (default: the lowest)")
    command.add_argument("--task", help="of a multitask run, the member whose splines are measured")
    command.add_argument("--split", default="train", help="split of the graph (default train)")
    command.add_argument("--row", type=int, default=0, help="place of the graph in its split, from 0 (default 0)")
    command.add_argument(
        "--function",
        nargs=3,
        metavar=("BLOCK", "MATRIX", "FEATURE"),
        help="read this one of a run's splines, e.g. 3 c_proj 17 (default: the strongest)",
    )
    command.add_argument("--svg", metavar="PLACE", help="draw the graph into this file, splines into this folder")
    command.set_defaults(work=inspect)
    return parser


def _lines(texts: Sequence[str], file: str | None) -> list[str]:
    if texts and file:
        raise UserError("predict: give texts or --file, not both")
    if not texts:
        texts = [line for line in _read(file or "-").split("\n") if line.strip()]
    if not texts:
        raise UserError("predict: no text given")
    return list(texts)


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
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
