"""Results worth keeping: tables with the command, the commit and the machine that they come from."""

import shlex
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from knotwork import provenance
from knotwork.files import write_text

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("torch", "transformers", "peft", "spacy", "torch-geometric")


def record(name: str, tables: Mapping[str, pd.DataFrame], threads: int = 1) -> None:
    """Print tables and write them to ``results/<name>.md``.

    Args:
        name: of the file.
        tables: by what they show, in words; cells are written as they are.
        threads: that did the work.
    """
    parts = [f"## {title}\n\n{markdown(table)}" for title, table in tables.items()]
    print("\n\n".join(parts), flush=True)
    write_text(RESULTS / f"{name}.md", "\n\n".join([f"# {name}", _origin(threads), *parts]) + "\n")


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown, numbers on the right."""
    numbers = [pd.api.types.is_numeric_dtype(table[column]) for column in table]
    rows = [
        list(table),
        ["---:" if number else "---" for number in numbers],
        *table.astype(str).to_numpy().tolist(),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _origin(threads: int) -> str:
    script, *options = sys.argv
    command = shlex.join(["python", f"benchmarks/{Path(script).name}", *options])
    made, machine = provenance.commit(), provenance.machine("cpu", threads)
    commit = f"{made['commit'] or 'unknown'}{' with changes' if made['dirty'] else ''}"
    versions = ", ".join(f"{library} {version(library)}" for library in LIBRARIES)
    return (
        f"- Command: `{command}`\n- Commit: {commit}\n"
        f"- Machine: {machine['cpu']}, {threads} of {machine['cores']} cores used, shared with other work\n"
        f"- Versions: {versions}"
    )
