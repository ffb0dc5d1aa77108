"""A run's results as they are kept: without the corpus's texts, which are not the project's to publish.

Of sonnets the given lines stay, with which the generated ones begin.
"""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from knotwork.files import read_json, text_hash, whole_folder, write_json
from knotwork.study.declaration import Cell

KEPT = Path("reports/study")


def keep_cell(cell: Cell, reports: Path) -> None:
    """Keep the report files of a declared run, with the command that makes it again.

    Raises:
        UserError: a file is missing or broken, or cannot be written.
    """
    base = f" --base {cell.base}" if cell.base else ""
    command = f"make study ARGS='--only {cell.name}{base}'"
    keep(reports, KEPT / cell.name, {"command": command, "settings": cell.settings})


def keep(reports: Path, destination: Path, origin: dict[str, Any]) -> None:
    """Copy a task's report files, all or none.

    True sonnets become their hashes, and the attention pictures' texts are left out.

    Args:
        reports: ``reports/<task>/`` as evaluation writes it.
        destination: the folder to keep them in; what it held is replaced.
        origin: what the card is to say beside what evaluation wrote there, such as the command.

    Raises:
        UserError: a file is missing or broken, or the folder cannot be written.
    """
    card, pictures = read_json(reports / "card.json"), read_json(reports / "pictures.json")
    scores = pd.read_csv(reports / "scores.tsv", sep="\t", dtype=str, keep_default_na=False)
    scores["gold"] = scores["gold"].map(without_text)
    with whole_folder(destination) as aside:
        shutil.copytree(reports, aside, dirs_exist_ok=True)
        write_json(aside / "card.json", with_origin(card, origin))
        several = "members" in card  # those of multitask, each with its own pictures
        shown = {name: without_texts(own) for name, own in pictures.items()} if several else without_texts(pictures)
        write_json(aside / "pictures.json", shown)
        scores.to_csv(aside / "scores.tsv", sep="\t", index=False, lineterminator="\n")


def with_origin(card: dict[str, Any], origin: dict[str, Any]) -> dict[str, Any]:
    """A card that says where it comes from, as do those of multitask's members in it."""
    members = [member | {"card": member["card"] | origin} for member in card.get("members", [])]
    return card | origin | ({"members": members} if members else {})


def without_text(gold: str) -> str:
    """A true answer as it is kept: a label as it is, a text by the hash that ``compare`` finds it by."""
    return gold if not gold or gold.lstrip("-").isdigit() else text_hash(gold)


def without_texts(pictures: dict[str, Any]) -> dict[str, Any]:
    """The data of the pictures without true sonnets and without the texts of attention pictures."""
    kept = dict(pictures)
    if "examples" in kept:
        kept["examples"] = [example | {"truth": None} for example in kept["examples"]]
    own = kept.get("adapter") or {}
    if own.get("attention"):
        kept["adapter"] = own | {"attention": own["attention"] | {"examples": []}}
    return kept
