"""Install a trained parser: save it slim, measure it on the test split, and write its card.

The run is the one that ``parser.trial`` names; which one is best is read off ``parser_trials.json``.
"""

import csv
import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import spacy
from parser import gold_examples, raw_examples, score
from settings import Mistake, Settings, arguments, run
from spacy.language import Language
from spacy.strings import StringStore
from spacy.tokens import Doc
from treebank import SPLITS, read_treebank


def save_slim(nlp: Language, folder: Path, licence: str) -> None:
    """Save without what training left behind: paths, its scores, the strings of words seen or made up."""
    nlp.config["paths"] = dict.fromkeys(nlp.config["paths"])
    nlp.meta.update(performance={}, license=licence)
    nlp.to_disk(folder)
    strings = {label for labels in nlp.pipe_labels.values() for label in labels}
    strings |= set(spacy.blank(nlp.lang).vocab.strings)
    StringStore(sorted(strings)).to_disk(folder / "vocab" / "strings.json")


def megabytes(folder: Path) -> float:
    """Size of all files below a folder, in MB (10⁶ bytes)."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def words_per_second(nlp: Language, path: Path) -> float:
    """Words a second of processor time of ``nlp.pipe``, on the column ``sentence`` of a tab-separated file.

    Raises:
        Mistake: the file cannot be read or has no such column.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            texts = [(row["sentence"] or "").strip() for row in csv.DictReader(file, delimiter="\t")]
    except (OSError, UnicodeDecodeError, KeyError) as error:
        raise Mistake(f"{path}: no tab-separated file with a column `sentence` ({error})") from error
    start = time.process_time()
    words = sum(len(document) for document in nlp.pipe(texts))
    return words / (time.process_time() - start)


def describe(settings: Settings, nlp: Language, documents: dict[str, list[Doc]]) -> dict[str, Any]:
    """All that the card says: data, recipe, scores, speed and the other runs."""
    group = settings.group("parser")
    treebank = settings.path(group["treebank"])
    trials = settings.path(group["trials"])
    try:
        rows = json.loads(trials.read_text(encoding="utf-8"))
        chosen = next(row for row in rows if row["trial"] == group["trial"])
    except (OSError, ValueError, StopIteration) as error:
        raise Mistake(f"{trials}: no row of the trial {group['trial']!r}; run parser.py first") from error
    return {
        "pipeline": nlp.pipe_names,
        "spacy": spacy.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {platform.system()}, one process, no GPU",
        "about": group["about"],
        "treebank": {
            split: {
                "sentences": sum(1 for document in documents[split] for _ in document.sents),
                "words": sum(len(document) for document in documents[split]),
                "sha256": hashlib.sha256((treebank / f"{split}.conllu").read_bytes()).hexdigest(),
            }
            for split in SPLITS
        },
        **chosen,
        "test": {
            "raw": score(nlp, raw_examples(nlp, documents["test"])),
            "gold": score(nlp, gold_examples(nlp, documents["test"])),
        },
        "words_per_second": {
            name: round(words_per_second(nlp, settings.path(path))) for name, path in group["speed_texts"].items()
        },
        "trials": rows,
    }


def table(header: list[str], rows: list[list[Any]]) -> list[str]:
    """The lines of a Markdown table."""
    return [
        f"| {' | '.join(str(cell) for cell in cells)} |" for cells in [header, ["---"] * len(header), *rows]
    ] + [""]


def render(card: dict[str, Any]) -> str:
    """The card as Markdown; every number in it comes from ``card``."""
    names = {
        "raw": "raw text",
        "gold": "words and sentences given",
        "lower": "raw text in lower case",
        "spaced": "raw text, words set apart as in the Penn Treebank",
    }
    columns = ["uas", "las", "tag", "sentences_f", "words_f"]
    scores = [
        [split, names[kind], *(values.get(column, "") for column in columns)]
        for split in ("dev", "test")
        for kind, values in card[split].items()
    ]
    varied = [
        key
        for key in card["recipe"]
        if key != "max_steps" and len({str(row["recipe"].get(key)) for row in card["trials"]}) > 1
    ]
    trials = [
        [
            row["trial"] + (" (this model)" if row["trial"] == card["trial"] else ""),
            *(row["recipe"].get(key, "") for key in varied),
            row["steps"],
            row["minutes"],
            row["dev"]["raw"]["uas"],
            row["dev"]["raw"]["las"],
            row["dev"]["raw"]["tag"],
            row["dev"]["lower"]["las"],
        ]
        for row in card["trials"]
    ]
    speeds = [[name, f"{speed:,}"] for name, speed in card["words_per_second"].items()]
    lines = [
        "# English tagger and dependency parser",
        "",
        f"A spaCy pipeline ({', '.join(card['pipeline'])}; spaCy {card['spacy']}), {card['megabytes']} MB. "
        '`spacy.load("assets/parser")` loads it. '
        "`tag_` is set (Penn Treebank tags), `dep_` and `head` are set (Universal Dependencies); "
        "`pos_`, `lemma_` and entities are not.",
        "",
        "## Data",
        card["about"]["data"],
        "",
        *table(
            ["split", "sentences", "words"],
            [[split, f"{part['sentences']:,}", f"{part['words']:,}"] for split, part in card["treebank"].items()],
        ),
        "## Accuracy",
        "Percent, by spaCy's scorer. UAS and LAS are F1 over words and leave punctuation out; on raw text, a "
        "word that the tokenizer cut otherwise counts as wrong. A raw text is "
        f"{card['document_sentences']} sentences in their original spacing. "
        "The run was chosen on dev; test was scored for the chosen run alone.",
        "",
        *table(["split", "input", "UAS", "LAS", "tag", "sentences F1", "words F1"], scores),
        "## Training",
        f"{card['steps']:,} steps in {card['minutes']} minutes ({card['machine']}). The recipe: "
        + ", ".join(f"{key} {value}" for key, value in card["recipe"].items())
        + ".",
        "",
        card["about"]["augmentation"],
        "",
        "All runs, scored on dev (raw text, and LAS in lower case):",
        "",
        *table(["run", *varied, "steps", "minutes", "UAS", "LAS", "tag", "LAS lower"], trials),
        "## Speed",
        "Words per second of processor time of `nlp.pipe`, in one process on one core:",
        "",
        *(table(["texts", "words/s"], speeds) if speeds else ["Not measured.", ""]),
        "## Not good for",
        card["about"]["limits"],
        "",
    ]
    return "\n".join(lines)


def publish(settings: Settings) -> None:
    """Write the folder ``parser.folder``: the pipeline, ``card.json`` and ``README.md``, whole or not at all.

    Raises:
        Mistake: the run is not there, or its model is larger than ``parser.max_megabytes``.
    """
    group = settings.group("parser")
    model = settings.path(settings.values["work"], "parser", group["trial"], "model", "model-best")
    folder = settings.path(group["folder"])
    treebank = settings.path(group["treebank"])
    documents = {
        split: read_treebank(treebank / f"{split}.conllu", group["document_sentences"]) for split in SPLITS
    }
    try:
        nlp = spacy.load(model)
    except OSError as error:
        raise Mistake(f"{model}: no trained parser ({error}); run parser.py first") from error
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.{os.getpid()}.", dir=folder.parent))
    try:
        save_slim(nlp, aside, group["about"]["licence"])
        size = megabytes(aside)
        if size > group["max_megabytes"]:
            raise Mistake(f"{model}: {size:.1f} MB, more than parser.max_megabytes; lower width or rows")
        card = {"megabytes": round(size, 1), "document_sentences": group["document_sentences"]}
        # The measured pipeline is the one that users load.
        card |= describe(settings, spacy.load(aside), documents)
        (aside / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        (aside / "README.md").write_text(render(card), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        aside.chmod(0o755)
        aside.replace(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def main() -> None:
    """Install the run that ``parser.trial`` names."""
    _, settings = arguments(__doc__.splitlines()[0])
    publish(settings)


if __name__ == "__main__":
    run(main)
