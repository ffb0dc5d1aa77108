"""Pretrain a GPT-2-architecture language model on the token files.

``python pretrain.py base`` trains the model of the parameter group ``base`` and writes its folder. Killed
and started again it goes on from its last checkpoint, in a folder ``<work>/<group>-<hash>`` named by what
decides the run, to the same weights.
"""

import hashlib
import json
import math
import shutil
import time
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import numpy as np
import torch
from rows import Mixture, open_tokenizer, open_tokens, positions, read_index
from settings import Mistake, Settings, arguments, replace_file, run
from speed import device_name, flops_per_token, peak_flops
from torch.nn import functional
from tqdm import tqdm
from transformers import GPT2Config, GPT2LMHeadModel

# Keys that change neither the data nor the arithmetic of a run, only how it is watched.
IDLE = {"log_every", "checkpoint_minutes"}
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass
class Plan:
    """A parameter group that describes a run; ``params.yaml`` says what each key means."""

    context: int
    layers: int
    width: int
    heads: int
    mixture: dict[str, float]
    tokens: float
    max_minutes: float | None
    phases: list[dict[str, float]]
    batch_tokens: int
    micro_tokens: int
    learning_rate: float
    weight_decay: float
    warmup: float
    precision: str | None
    log_every: int
    checkpoint_minutes: float

    @classmethod
    def read(cls, settings: Settings, name: str) -> "Plan":
        """The group ``name`` of the parameters.

        Raises:
            Mistake: a key is missing, unknown or does not fit another.
        """
        group = settings.group(name)
        if wrong := set(group) ^ {field.name for field in fields(cls)}:
            raise Mistake(f"{name}: missing or unknown keys {', '.join(sorted(wrong))}; compare with params.yaml")
        for field in fields(cls):
            if not _fits(value := group[field.name], field.type):
                raise Mistake(f"{name}.{field.name}: {value!r} is of the wrong type; compare with params.yaml")
        plan = cls(**group)
        if plan.width % plan.heads:
            raise Mistake(f"{name}.heads: width {plan.width} is not a multiple of {plan.heads}")
        if plan.precision not in (None, *PRECISIONS):
            raise Mistake(f"{name}.precision: {plan.precision!r} is not one of null, {', '.join(PRECISIONS)}")
        for length in (phase["length"] for phase in plan.phases):
            if not 1 <= length <= plan.context:
                raise Mistake(f"{name}.phases: length {length} is not in 1..{plan.context} (context)")
        return plan


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the type that a field is annotated with; whole numbers are floats as well."""
    if isinstance(hint, UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    kind = get_origin(hint) or hint
    return isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)


@dataclass
class Progress:
    """How far a run is: optimiser steps, tokens seen, seconds spent, rows drawn in each phase."""

    step: int
    tokens: int
    seconds: float
    rows: list[int]


def optimizers(model: GPT2LMHeadModel, plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices of the blocks, AdamW for embeddings, norms and biases."""
    matrices = [weight for weight in model.transformer.h.parameters() if weight.ndim == 2]
    chosen = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in chosen]
    rate, decay = plan.learning_rate, plan.weight_decay
    return [
        torch.optim.Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=rate, weight_decay=0.0, betas=(0.9, 0.95)),
    ]


def rate_factor(fraction: float, warmup: float) -> float:
    """Share of the peak learning rate at a fraction of the run: linear warm-up, then a cosine to 0."""
    if fraction < warmup:
        return (fraction + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (fraction - warmup) / (1 - warmup))))


class Run:
    """One pretraining run."""

    def __init__(self, name: str, settings: Settings) -> None:
        """Set up the model, its data and its optimisers; take up a checkpoint if there is one.

        Raises:
            Mistake: a parameter is wrong or does not fit the token files.
        """
        self.name, self.plan, self.seed = name, Plan.read(settings, name), settings.values["seed"]
        work = settings.path(settings.values["work"])
        self.index = read_index(work / "tokens")
        self.tokenizer = open_tokenizer(work / "tokenizer")
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        chosen = self.plan.precision or ("bfloat16" if self.device.type == "cuda" else "float32")
        self.precision = PRECISIONS[chosen]
        self.mixtures = self.open_mixtures(work / "tokens")
        self.held_out = {source: open_tokens(work / "tokens", source, "held_out") for source in self.index}
        torch.manual_seed(self.seed)
        self.model = GPT2LMHeadModel(self.config()).to(self.device)
        self.training_loss = torch.compile(self.mean_loss) if self.device.type == "cuda" else self.mean_loss
        self.optimizers = optimizers(self.model, self.plan)
        self.progress = Progress(0, 0, 0.0, [0] * len(self.mixtures))
        self.folder = work / f"{name}-{self.identity(work / 'tokenizer' / 'tokenizer.json')}"
        if (self.folder / "checkpoint.pt").exists():
            self.restore()

    def open_mixtures(self, tokens: Path) -> list[Mixture]:
        """The rows of every phase."""
        if unknown := sorted(set(self.plan.mixture) - set(self.index)):
            raise Mistake(f"{self.name}.mixture: no source {unknown}; there are {', '.join(self.index)}")
        files = {source: open_tokens(tokens, source, "train") for source in self.plan.mixture}
        shortest = min(files, key=lambda source: len(files[source]))
        longest = max(phase["length"] for phase in self.plan.phases)
        if len(files[shortest]) <= longest:
            raise Mistake(f"{self.name}.phases: {shortest} has fewer tokens than one row of {longest}")
        return [Mixture(files, self.plan.mixture, p["length"], self.seed) for p in self.plan.phases]

    def identity(self, tokenizer: Path) -> str:
        """A hash of everything that decides the run."""
        settings = {key: value for key, value in asdict(self.plan).items() if key not in IDLE}
        text = json.dumps([settings, self.seed, self.index, str(self.precision)], sort_keys=True)
        return hashlib.sha256(text.encode() + tokenizer.read_bytes()).hexdigest()[:12]

    def config(self) -> GPT2Config:
        """The architecture; no dropout, since no text is seen more than a few times."""
        return GPT2Config(
            vocab_size=len(self.tokenizer),
            n_positions=self.plan.context,
            n_embd=self.plan.width,
            n_layer=self.plan.layers,
            n_head=self.plan.heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=self.tokenizer.bos_token_id,
            eos_token_id=self.tokenizer.eos_token_id,
        )

    def fraction(self) -> float:
        """How much of the run is done: of its tokens, or of its time if that is limited and ends first."""
        limit = self.plan.max_minutes
        done = self.progress.tokens / self.plan.tokens
        return min(1.0, done if limit is None else max(done, self.progress.seconds / 60 / limit))

    def train(self) -> None:
        """Train to the end, with checkpoints and held-out losses on the way."""
        self.model.train()
        if self.device.type == "cuda":
            self.warm_up()
        bar = tqdm(
            total=100, unit="%", desc=self.name, mininterval=5, bar_format="{l_bar}{bar}| {elapsed}{postfix}"
        )
        saved, reached = time.monotonic(), None
        while (fraction := self.fraction()) < 1:
            start = time.perf_counter()
            ends = np.cumsum([phase["share"] for phase in self.plan.phases])
            phase = int(np.searchsorted(ends[:-1], fraction, side="right"))
            last, (reached, tokens) = reached, self.step(phase, rate_factor(fraction, self.plan.warmup))
            # That of the step before: a GPU is at work on this one while the next rows are drawn.
            loss = (reached if last is None else last).item()
            seconds = time.perf_counter() - start
            self.progress.seconds += seconds
            bar.update(100 * self.fraction() - bar.n)
            bar.set_postfix_str(
                f"step {self.progress.step}, loss {loss:.3f}, {tokens / seconds:.0f} tokens/s", refresh=False
            )
            if self.progress.step % self.plan.log_every == 0:
                tqdm.write(
                    f"step {self.progress.step}, {self.fraction():.1%} done, loss {loss:.4f}, "
                    f"{tokens / seconds:.0f} tokens/s"
                )
            if time.monotonic() - saved >= 60 * self.plan.checkpoint_minutes:
                self.save()
                tqdm.write(f"step {self.progress.step} held-out bits per byte {self.bits_per_byte()}")
                saved = time.monotonic()
        self.save()
        bar.close()

    def warm_up(self) -> None:
        """Compile for the rows of every phase, before the clock of the run starts."""
        for length in (phase["length"] for phase in self.plan.phases):
            rows = np.zeros((max(1, self.plan.micro_tokens // length), length + 1), dtype=np.int64)
            self.training_loss(*self.tensors(rows)).backward()
        self.model.zero_grad()

    def step(self, phase: int, factor: float) -> tuple[torch.Tensor, int]:
        """One optimiser step; returns the mean loss in nats and the tokens used."""
        length = self.plan.phases[phase]["length"]
        count = max(1, self.plan.batch_tokens // length)
        rows = self.mixtures[phase].rows(count)
        micro = max(1, self.plan.micro_tokens // length)
        total = torch.zeros((), device=self.device)
        for part in np.split(rows, range(micro, count, micro)):
            loss = self.training_loss(*self.tensors(part)) * len(part) / count
            loss.backward()
            total += loss.detach()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            for weights in optimizer.param_groups:
                weights["lr"] = self.plan.learning_rate * factor
            optimizer.step()
            optimizer.zero_grad()
        self.progress.step += 1
        self.progress.tokens += count * length
        self.progress.rows[phase] += count
        return total, count * length

    def tensors(self, rows: np.ndarray) -> tuple[torch.Tensor, ...]:
        """Inputs and positions of rows, both (rows, length), and the targets, flat."""
        inputs = np.ascontiguousarray(rows[:, :-1])
        places = positions(inputs, self.tokenizer.eos_token_id)
        parts = (torch.from_numpy(part) for part in (inputs, places, rows[:, 1:].flatten()))
        return tuple(part.to(self.device) for part in parts)

    def mean_loss(self, inputs: torch.Tensor, places: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy in nats of the targets, each given the tokens before it in its document."""
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            logits = self.model(input_ids=inputs, position_ids=places, use_cache=False).logits
        return functional.cross_entropy(logits.flatten(0, 1).float(), targets)

    @torch.no_grad()
    def bits_per_byte(self, limit: int = 2**13) -> dict[str, float]:
        """Bits for each byte of the first ``limit`` held-out tokens of every source, in whole rows."""
        self.model.eval()
        result = {}
        for source, ids in self.held_out.items():
            length = min(self.plan.context, len(ids) - 1)
            starts = range(0, min(limit, len(ids) - 1) - length + 1, length)
            rows = np.stack([ids[start : start + length + 1] for start in starts]).astype(np.int64)
            losses = [self.mean_loss(*self.tensors(row[None])) for row in rows]
            counts = self.index[source]["held_out"]
            bits = torch.stack(losses).mean().item() / math.log(2)
            result[source] = round(bits * counts["tokens"] / counts["bytes"], 4)
        self.model.train()
        return result

    def save(self) -> None:
        """Write the checkpoint, then the model's folder as it is now."""
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "progress": asdict(self.progress),
        }
        replace_file(self.folder / "checkpoint.pt", lambda path: torch.save(state, path))
        self.write_folder(self.folder / "latest")

    def restore(self) -> None:
        """Go on from the checkpoint."""
        state = torch.load(self.folder / "checkpoint.pt", map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.progress = Progress(**state["progress"])
        for mixture, count in zip(self.mixtures, self.progress.rows, strict=True):
            mixture.skip(count)
        print(f"{self.folder}: going on after step {self.progress.step}")

    def write_folder(self, folder: Path) -> None:
        """Write model (fp16 weights that load as fp32), tokenizer and the run's facts in the hub's format."""
        aside = folder.with_name(folder.name + ".part")
        shutil.rmtree(aside, ignore_errors=True)
        half = GPT2LMHeadModel(self.config())
        half.load_state_dict(self.model.state_dict())
        half.half().save_pretrained(aside)
        self.tokenizer.save_pretrained(aside)
        config = json.loads((aside / "config.json").read_text())
        (aside / "config.json").write_text(
            json.dumps(config | {"dtype": "float32"}, indent=2, sort_keys=True) + "\n"
        )
        (aside / "card.json").write_text(json.dumps(self.facts(), indent=2, sort_keys=True) + "\n")
        for path in aside.iterdir():
            path.chmod(0o644)
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside.replace(folder)

    def facts(self) -> dict[str, Any]:
        """What the model's card says of the run; speeds are means over the whole run."""
        speed = self.progress.tokens / max(self.progress.seconds, 1e-9)
        lengths, shares = zip(*((phase["length"], phase["share"]) for phase in self.plan.phases), strict=True)
        flops = speed * flops_per_token(self.model.config, int(np.average(lengths, weights=shares)))
        return {
            "name": self.name,
            "parameters": self.model.num_parameters(),
            "steps": self.progress.step,
            "tokens_seen": self.progress.tokens,
            "finished": self.fraction() >= 1,
            "train_seconds": round(self.progress.seconds, 1),
            "tokens_per_second": round(speed, 1),
            "flops_utilisation": round(flops / self.peak, 3),
            "device": device_name(self.device),
            "precision": str(self.precision).removeprefix("torch."),
            "torch": torch.__version__,
            "settings": asdict(self.plan),
            "corpus": self.index,
        }

    @cached_property
    def peak(self) -> float:
        """The device's measured peak, in operations a second."""
        return peak_flops(self.device, self.precision)


def main() -> None:
    """Train the group named on the command line and write its folder."""
    parsed, settings = arguments(__doc__.splitlines()[0], "group")
    training = Run(parsed.group, settings)
    training.train()
    training.write_folder(settings.path(parsed.group))


if __name__ == "__main__":
    run(main)
