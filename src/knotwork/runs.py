"""A trained run, loaded: one interface to every adapter."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from knotwork import adapters, models, tasks
from knotwork.adapters.adapter import Complete
from knotwork.answers import Answer, Text, answer_for, joint_answer
from knotwork.corpora import Row
from knotwork.corpora.normalise import normalise
from knotwork.encoding import Example, encode
from knotwork.errors import UserError
from knotwork.files import read_json
from knotwork.generation import generate
from knotwork.identity import base_folder, base_identity
from knotwork.inference import score
from knotwork.params import Generation
from knotwork.tasks.task import Classification, Task

BATCH_TOKENS = 8192
SCHEMA_VERSION = 1


class Prediction(NamedTuple):
    """A text's class and the probabilities of all classes."""

    label: int
    name: str
    probabilities: tuple[float, ...]


class Run:
    """A trained adapter on its base, ready to use (see :func:`load_run`).

    Attributes:
        card: the run's ``run.json``.
        task: its task.
        answer: how the model is asked.
        model: base and adapter, in evaluation mode.
        tokenizer: the base's tokenizer.
    """

    def __init__(
        self,
        card: dict[str, Any],
        task: Task,
        answer: Answer,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        complete: Complete,
    ) -> None:
        self.card, self.task, self.answer = card, task, answer
        self.model, self.tokenizer, self._complete = model, tokenizer, complete

    def member(self, task: str | None = None) -> "Run":
        """The run itself, whose only task is its own.

        Raises:
            UserError: another task is asked for.
        """
        if task not in (None, self.task.name):
            raise UserError(f"{task}: this is a run of {self.task.name}, which has no members")
        return self

    def predict(self, texts: Sequence[str | tuple[str, str]]) -> list[Prediction]:
        """Classify texts (pairs of texts for question pairs), normalised and prompted as in training.

        Raises:
            UserError: the task has no classes, or a text is empty or not of the task's shape.
        """
        if not isinstance(self.task, Classification):
            raise UserError(f"{self.task.name}: has no classes to predict; use generate")
        _check_list("predict", texts)
        rows = [self._row(number, text) for number, text in enumerate(texts, start=1)]
        if not rows:
            return []
        examples = self._complete(encode(self.task, rows, self.tokenizer, self.card["max_length"]))
        probabilities = score(self.model, self.answer, examples, BATCH_TOKENS).probabilities
        labels = probabilities.argmax(1).tolist()
        return [
            Prediction(label, self.task.classes[label], tuple(row))
            for label, row in zip(labels, probabilities.tolist(), strict=True)
        ]

    def generate(
        self,
        openings: Sequence[str],
        temperature: float = 0.8,
        top_p: float = 0.9,
        max_new_tokens: int = 300,
        seed: int = 0,
        best_of: int = 1,
    ) -> list[str]:
        """Go on from openings to fourteen lines or the end of text; returns opening and continuation.

        See :class:`knotwork.params.Generation` for the settings.

        Raises:
            UserError: the run classifies, an opening is empty or too long, or a setting is out of range.
        """
        if not isinstance(self.answer, Text):
            raise UserError(f"{self.task.name}: this run classifies; generate needs a run of the sonnet task")
        _check_list("generate", openings)
        try:
            settings = Generation(
                temperature=temperature, top_p=top_p, max_new_tokens=max_new_tokens, seed=seed, best_of=best_of
            )
        except ValueError as error:
            raise UserError(f"generate: {error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}") from error
        if not openings:
            return []
        return generate(self.model, self.tokenizer, list(openings), settings, self._complete)

    @torch.no_grad()
    def logits(self, text: str | Sequence[int] | Tensor) -> Tensor:
        """Teacher-forced logits of the next token, (tokens, vocabulary), for a text or its token ids.

        Raises:
            UserError: the run has no language-model head, the text is empty or longer than the context, or an id is
                not in the vocabulary; or there are several texts.
        """
        if self.answer.head:
            raise UserError(f"{self.task.name}: a run with a classification head has no logits of tokens")
        given = torch.as_tensor(self.tokenizer(text)["input_ids"] if isinstance(text, str) else text)
        if given.dim() != 1:
            shape = " x ".join(map(str, given.shape))
            raise UserError(f"logits: takes the token ids of one text, (tokens,), not {shape}; take a row of them")
        ids = given.tolist()
        if not 0 < len(ids) <= self.model.config.n_positions:
            raise UserError(f"logits: {len(ids)} tokens; the context takes 1 to {self.model.config.n_positions}")
        if not 0 <= min(ids) <= max(ids) < self.model.config.vocab_size:
            raise UserError(f"logits: token ids go from 0 to {self.model.config.vocab_size - 1}")
        (example,) = self._complete([Example(Row("1", (), None), ids, truncated=False)])
        batch = self.answer.collate([example])
        place = next(self.model.parameters()).device
        inputs = {name: tensor.to(place) for name, tensor in batch.items() if name != "labels"}
        return self.model(**inputs).logits[0]

    def _row(self, number: int, text: str | tuple[str, str]) -> Row:
        texts = (text,) if isinstance(text, str) else tuple(text)
        wanted = len(self.task.text_columns)
        if len(texts) != wanted:
            raise UserError(f"text {number}: {self.task.name} takes {wanted} text(s), got {len(texts)}")
        texts = tuple(normalise(part) for part in texts)
        if not all(texts):
            raise UserError(f"text {number}: empty; give some text")
        return Row(str(number), texts, None)


class MultitaskRun:
    """One adapter for several tasks (see :func:`load_run`).

    Attributes:
        card: the run's ``run.json``.
        members: the run of each task; they share a model.
        model: base and adapter, in evaluation mode.
        tokenizer: the base's tokenizer.
    """

    def __init__(
        self, card: dict[str, Any], members: dict[str, Run], model: nn.Module, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        self.card, self.members, self.model, self.tokenizer = card, members, model, tokenizer

    def member(self, task: str | None = None) -> Run:
        """The run of one task.

        Raises:
            UserError: no task is given, or it is no member.
        """
        if task not in self.members:
            problem = "name the task" if task is None else f"{task}: no member"
            raise UserError(f"{problem}; this run has {', '.join(self.members)}")
        return self.members[task]

    def predict(self, texts: Sequence[str | tuple[str, str]], task: str) -> list[Prediction]:
        """Classify texts for a task: see :meth:`Run.predict`."""
        return self.member(task).predict(texts)

    def generate(self, openings: Sequence[str], **settings: Any) -> list[str]:
        """Go on from openings: see :meth:`Run.generate`."""
        return self._text().generate(openings, **settings)

    def logits(self, text: str | Sequence[int] | Tensor) -> Tensor:
        """Teacher-forced logits of the next token: see :meth:`Run.logits`."""
        return self._text().logits(text)

    def _text(self) -> Run:
        """The run of the task that is answered by a text."""
        for run in self.members.values():
            if isinstance(run.answer, Text):
                return run
        raise UserError(f"multitask: no member of this run writes texts; it has {', '.join(self.members)}")


def load_run(folder: str | Path, seed: int | None = None) -> Run | MultitaskRun:
    """Load ``models/<task>`` (the lowest seed, or the one given) or ``models/<task>/seed-<n>``.

    Raises:
        UserError: no run there, its weights are missing or damaged, or the base is not the one it was trained on.
    """
    path = _run_folder(Path(folder), seed)
    card = find_card(path)
    base = card["base"]
    found = base_identity(base["path"], base["revision"])["sha256"]
    if found != base["sha256"]:
        raise UserError(
            f"{path}: trained on a base with hash {base['sha256'][:12]}, but {base['path']} now has {found[:12]}; "
            "restore that base or train again"
        )
    source = base_folder(base["path"], base["revision"])
    tokenizer = models.load_tokenizer(source)
    cards = {name: card | card["members"][name] for name in card["decisive"].get("multitask.members", [])}
    if cards:
        ways = {tasks.get(name): own["answer"] for name, own in cards.items()}
        answer = joint_answer(ways, dict.fromkeys(cards, 1.0), tokenizer)
    else:
        answer = answer_for(tasks.get(card["task"]), card["answer"], tokenizer)
    fresh = models.fresh_base(source, answer, card["max_length"], card["seed"])
    adapter = adapters.get(card["adapter"])
    try:
        model = adapter.load(path, fresh, answer)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"{path}: the weights are incomplete or damaged ({reason}); run `dvc repro` again"
        ) from error
    # Frozen: torch multiplies by a trainable matrix in another order, which shows in the last digit.
    model = model.to(models.device()).requires_grad_(False).eval()
    runs = {}
    for name, own in (cards or {card["task"]: card}).items():
        task = tasks.get(name)
        complete = adapter.connect(model, tokenizer, task, own)
        runs[name] = Run(own, task, answer.of(name), model, tokenizer, complete)
    return MultitaskRun(card, runs, model, tokenizer) if cards else runs[card["task"]]


def _check_list(what: str, texts: Sequence[Any]) -> None:
    """Refuse a text in the place of a list of texts: its letters would be taken for them."""
    if isinstance(texts, str):
        raise UserError(f"{what}: takes a list of texts; put the text in brackets")


def find_card(folder: Path, seed: int | None = None) -> dict[str, Any]:
    """The ``run.json`` of a run, found as :func:`load_run` finds it.

    Raises:
        UserError: no run there, or one of another version.
    """
    file = _run_folder(folder, seed) / "run.json"
    card = read_json(file)
    if not isinstance(card, dict) or card.get("schema_version") != SCHEMA_VERSION:
        raise UserError(f"{file}: made by another version; run `dvc repro` again")
    return card


def _run_folder(folder: Path, seed: int | None) -> Path:
    if (folder / "run.json").is_file():
        if seed is not None and folder.name != f"seed-{seed}":
            raise UserError(f"{folder}: one run, not that of seed {seed}; name the folder above it")
        return folder
    names = (path.parent.name.removeprefix("seed-") for path in folder.glob("seed-*/run.json"))
    seeds = sorted(int(name) for name in names if name.isdecimal())
    if not seeds:
        raise UserError(f"{folder}: no trained run there; make one with `dvc repro`")
    if seed is not None and seed not in seeds:
        raise UserError(f"{folder}: no run with seed {seed}; there are {', '.join(map(str, seeds))}")
    return folder / f"seed-{seeds[0] if seed is None else seed}"
