"""Train the tagger and dependency parser on a treebank, and note what it reaches on the development split.

The result of a run, under the name ``parser.trial``, is a row of ``parser_trials.json``;
``parser_card.py`` installs the run that has that name.
"""

import json
import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import spacy
import web_tokenizer  # noqa: F401  (registers the callback that parser.cfg names)
from augment import lower_cased, set_apart
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from settings import Mistake, Settings, arguments, replace_file, run
from spacy.cli.train import train as train_pipeline
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from treebank import SPLITS, read_treebank

CONFIG = Path(__file__).with_name("parser.cfg")
SHOWN = {"dep_uas": "uas", "dep_las": "las", "tag_acc": "tag", "sents_f": "sentences_f", "token_f": "words_f"}

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class Recipe(BaseModel):
    """The group ``parser.recipe``: what parser.cfg takes in as ``vars``; params.yaml explains each."""

    model_config = ConfigDict(extra="forbid", strict=True)

    width: Count
    depth: Count
    attributes: list[str]
    rows: list[Count]
    hidden_width: Count
    extra_state_tokens: bool
    dropout: Share
    learning_rate: Annotated[float, Field(gt=0)]
    batch_words: Count
    max_steps: Count
    eval_frequency: Count
    lower: Share
    spaced: Share
    unpunctuated: Share
    unknown: Annotated[float, Field(ge=0)]


def read_recipe(settings: Settings) -> Recipe:
    """The checked group ``parser.recipe``.

    Raises:
        Mistake: a key is missing, unknown or has a value that cannot be.
    """
    try:
        recipe = Recipe(**settings.group("parser")["recipe"])
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise Mistake(f"params.yaml: parser.recipe.{name}: {first['msg']}; correct it") from error
    if len(recipe.rows) != len(recipe.attributes):
        raise Mistake("params.yaml: parser.recipe.rows: give one number for each of parser.recipe.attributes")
    return recipe


def raw_examples(nlp: Language, documents: list[Doc]) -> list[Example]:
    """Examples that start from the text: words and sentences are the pipeline's own."""
    return [Example(nlp.make_doc(document.text), document) for document in documents]


def gold_examples(nlp: Language, documents: list[Doc]) -> list[Example]:
    """Examples of one sentence each that start from the treebank's words."""
    examples = []
    for sentence in (span.as_doc() for document in documents for span in document.sents):
        words, spaces = [token.text for token in sentence], [bool(token.whitespace_) for token in sentence]
        starts = [i == 0 for i in range(len(words))]
        examples.append(Example(Doc(nlp.vocab, words=words, spaces=spaces, sent_starts=starts), sentence))
    return examples


def score(nlp: Language, examples: list[Example]) -> dict[str, float]:
    """Percentages by spaCy's scorer: UAS, LAS (F1, no punctuation), tags, sentence and word boundaries."""
    scores = nlp.evaluate(examples)
    return {shown: round(100 * scores[name], 2) for name, shown in SHOWN.items() if scores[name] is not None}


def score_development(nlp: Language, documents: list[Doc]) -> dict[str, dict[str, float]]:
    """Scores on the texts as they are, with their words and sentences given, and in the other spellings."""
    return {
        "raw": score(nlp, raw_examples(nlp, documents)),
        "gold": score(nlp, gold_examples(nlp, documents)),
        "lower": score(nlp, raw_examples(nlp, [lower_cased(document) for document in documents])),
        "spaced": score(nlp, raw_examples(nlp, [set_apart(document, penn=True) for document in documents])),
    }


def note_trial(path: Path, row: dict[str, Any]) -> None:
    """Add a row to the file of trials, in the place of an earlier one of the same name."""
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    rows = [other for other in rows if other["trial"] != row["trial"]] + [row]
    text = json.dumps(rows, indent=2) + "\n"
    replace_file(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def train(settings: Settings) -> None:
    """One run, into ``<work>/parser/<trial>``: the documents, spaCy's checkpoints, the row of the trial."""
    group, recipe = settings.group("parser"), read_recipe(settings)
    treebank = settings.path(group["treebank"])
    work = settings.path(settings.values["work"], "parser", group["trial"])
    documents = {
        split: read_treebank(treebank / f"{split}.conllu", group["document_sentences"]) for split in SPLITS
    }
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for split in ("train", "dev"):
        DocBin(docs=documents[split]).to_disk(work / f"{split}.spacy")
    overrides = {f"paths.{split}": str(work / f"{split}.spacy") for split in ("train", "dev")}
    overrides["vars.seed"] = settings.values["seed"]
    overrides |= {f"vars.{name}": value for name, value in recipe.model_dump().items()}
    start = time.monotonic()
    train_pipeline(CONFIG, work / "model", overrides=overrides)
    minutes = (time.monotonic() - start) / 60
    nlp = spacy.load(work / "model" / "model-best")
    row = {
        "trial": group["trial"],
        "recipe": recipe.model_dump(),
        "steps": recipe.max_steps,
        "minutes": round(minutes, 1),
        "dev": score_development(nlp, documents["dev"]),
    }
    note_trial(settings.path(group["trials"]), row)
    print(json.dumps(row["dev"], indent=2))


def main() -> None:
    """Train with the parameters of the group ``parser``."""
    _, settings = arguments(__doc__.splitlines()[0])
    train(settings)


if __name__ == "__main__":
    run(main)
