"""Measure a pretrained model in bits per byte, beside ``xz -9`` and n-gram models, and write its card.

``python measure.py base`` completes ``card.json`` in the folder of the group ``base`` and renders its
``README.md`` from it.
"""

import json
import lzma
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rows import open_tokens, read_index
from settings import Mistake, Settings, arguments, replace_file, run
from torch.nn import functional
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel


@dataclass
class Text:
    """Held-out documents of a source: token ids of each, without separators, and the text's bytes."""

    documents: list[np.ndarray]
    content: bytes


def held_out_text(ids: np.ndarray, tokenizer: Any, megabytes: float) -> Text:
    """The first whole documents of a held-out token file, up to about ``megabytes`` (10⁶ bytes)."""
    starts = np.flatnonzero(ids == tokenizer.eos_token_id)
    documents, content = [], b""
    for start, end in zip(starts, [*starts[1:], len(ids)], strict=True):
        documents.append(np.asarray(ids[start + 1 : end], dtype=np.int64))
        content += tokenizer.decode(documents[-1]).encode()
        if len(content) >= megabytes * 1e6:
            break
    return Text(documents, content)


@torch.inference_mode()
def model_bits(model: PreTrainedModel, text: Text) -> float:
    """Bits of the documents under the model, each after ``<|endoftext|>``.

    Long documents are read in windows of the whole context that overlap by half; every token is scored
    once, with at least half a context before it.
    """
    context, stride = model.config.n_positions, model.config.n_positions // 2
    total = 0.0
    for document in tqdm(text.documents, desc="model", leave=False):
        ids = torch.tensor([model.config.eos_token_id, *document], device=model.device)
        scored = 1
        for start in range(0, len(ids), stride):
            window = ids[start : start + context]
            if start + len(window) <= scored:
                break
            logits = model(input_ids=window[None]).logits[0]
            first = scored - start
            total += functional.cross_entropy(
                logits[first - 1 : -1].float(), window[first:], reduction="sum"
            ).item()
            scored = start + len(window)
    return total / math.log(2)


class NGrams:
    """An interpolated trigram model with Witten-Bell smoothing (Witten and Bell 1991) over token ids."""

    def __init__(self, ids: np.ndarray, vocab_size: int) -> None:
        """Count all n-grams up to three in ``ids``."""
        self.size = vocab_size
        ids = ids.astype(np.int64)
        self.unigrams = np.bincount(ids, minlength=vocab_size)
        self.tables = [self._count(ids, order) for order in (2, 3)]

    def _key(self, ids: np.ndarray, order: int) -> np.ndarray:
        count = len(ids) - order + 1
        key = np.zeros(count, dtype=np.int64)
        for offset in range(order):
            key = key * self.size + ids[offset : offset + count]
        return key

    def _count(self, ids: np.ndarray, order: int) -> tuple[np.ndarray, ...]:
        keys, counts = np.unique(self._key(ids, order), return_counts=True)
        histories, first = np.unique(keys // self.size, return_index=True)
        return keys, counts, histories, np.add.reduceat(counts, first), np.diff([*first, len(keys)])

    def probabilities(self, ids: np.ndarray, order: int) -> np.ndarray:
        """Probability of every token of ``ids`` from index 2 on, under the model of this order (1 or 3)."""
        ids = ids.astype(np.int64)
        probability = (self.unigrams[ids[2:]] + 1) / (self.unigrams.sum() + self.size)
        if order == 1:
            return probability
        for length, (keys, counts, histories, totals, kinds) in zip((2, 3), self.tables, strict=True):
            key = self._key(ids[3 - length :], length)
            count = _look_up(keys, counts, key)
            total = _look_up(histories, totals, key // self.size)
            kind = _look_up(histories, kinds, key // self.size)
            known = total > 0
            mixed = (count + kind * probability) / np.where(known, total + kind, 1)
            probability = np.where(known, mixed, probability)
        return probability

    def bits(self, text: Text, separator: int, order: int) -> float:
        """Bits of the documents, each after two ``<|endoftext|>``."""
        padded = (np.array([separator, separator, *document]) for document in text.documents)
        return -sum(float(np.log2(self.probabilities(ids, order)).sum()) for ids in padded)


def _look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)


def measure(folder: Path, settings: Settings, seen: dict[str, int]) -> dict[str, Any]:
    """Bits per byte of the model and its rivals on every source, and the model's perplexity of a token.

    Args:
        folder: the model's.
        settings: parameters; the n-gram models are counted on ``measure.ngram_tokens`` of each source.
        seen: how many tokens of each source the model saw, on which another trigram model is counted.
    """
    group, tokens = settings.group("measure"), settings.path(settings.values["work"], "tokens")
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    index, count = read_index(tokens), int(float(group["ngram_tokens"]))
    ngrams = _counted(tokens, dict.fromkeys(index, count), len(tokenizer))
    alike = _counted(tokens, {source: seen.get(source, 0) for source in index}, len(tokenizer))
    separator = tokenizer.eos_token_id
    result: dict[str, Any] = {}
    for source in index:
        text = held_out_text(open_tokens(tokens, source, "held_out"), tokenizer, group["megabytes"])
        bits = {
            "model": model_bits(model, text),
            "trigram": ngrams.bits(text, separator, 3),
            "trigram_alike": alike.bits(text, separator, 3),
            "unigram": ngrams.bits(text, separator, 1),
            "xz": 8.0 * len(lzma.compress(text.content, preset=9)),
        }
        counted = sum(len(document) for document in text.documents)
        result[source] = {name: round(value / len(text.content), 3) for name, value in bits.items()}
        result[source] |= {"bytes": len(text.content), "perplexity": round(2 ** (bits["model"] / counted), 1)}
        print(source, result[source])
    return {"bits_per_byte": result, "ngram_tokens": int(ngrams.unigrams.sum())}


def _counted(tokens: Path, counts: dict[str, int], vocab_size: int) -> NGrams:
    """The n-gram models of the first tokens of each source's training file."""
    parts = [open_tokens(tokens, source, "train")[:count] for source, count in counts.items()]
    return NGrams(np.concatenate(parts), vocab_size)


def render(card: dict[str, Any], about: dict[str, Any]) -> str:
    """The model's README.md from its card and what the parameters say ``about`` data and limits."""
    training, minutes = card["settings"], card["train_seconds"] / 60
    rows = [
        f"| {source} | {v['model']:.3f} | {v['trigram_alike']:.3f} | {v['trigram']:.3f} | {v['unigram']:.3f} "
        f"| {v['xz']:.3f} "
        f"| {v['perplexity']:.1f} | {v['bytes']:,} |"
        for source, v in card["bits_per_byte"].items()
    ]
    shares = ", ".join(f"{source} {share:.0%}" for source, share in training["mixture"].items())
    phases = ", then ".join(f"rows of {p['length']} for {p['share']:.0%}" for p in training["phases"])
    sources = [
        f"| {source} | {about['sources'].get(source, 'not described')} | {parts['train']['tokens']:,} "
        f"| {training['mixture'].get(source, 0):.0%} |"
        for source, parts in card["corpus"].items()
    ]
    table = [
        f"| {row['vocab_size']:,} | {row['embedding_parameters']:,} | "
        + " | ".join(f"{value:.2f}" for value in row["bytes_per_token"].values())
        + " |"
        for row in card["tokenizer_table"]
    ]
    utilisation = card["flops_utilisation"]
    return "\n".join(
        [
            "---",
            "language: en",
            "library_name: transformers",
            "pipeline_tag: text-generation",
            "---",
            "",
            f"# {card['name']}",
            "",
            f"A GPT-2-architecture language model of {card['parameters'] / 1e6:.2f} million parameters "
            f"({training['layers']} layers of width {training['width']}, {training['heads']} heads, context "
            f"{training['context']}, tied embeddings), trained from random weights by the scripts in "
            "the folder above this one. Weights are stored in fp16 and load as fp32. "
            "This page is written by `measure.py`.",
            "",
            "## Quality",
            "Bits per byte of held-out text; lower is better. `trigram` is an interpolated trigram model "
            f"(Witten-Bell) and `unigram` an add-one unigram model of the first {card['ngram_tokens']:,} "
            "training tokens (the same number from each source), over the same vocabulary; `trigram, equal text` "
            "is counted on as many tokens of each source as the model saw, at most all there are; `xz` is `xz -9` "
            "on the same text. Perplexity is that of the model for one token.",
            "",
            "| source | model | trigram, equal text | trigram | unigram | xz | perplexity | bytes measured |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            "## Training",
            f"- {card['tokens_seen']:,} tokens in {card['steps']:,} steps of {training['batch_tokens']:,}, "
            f"{minutes:.0f} minutes, {card['tokens_per_second']:,.0f} tokens/s on {card['device']} in "
            f"{card['precision']}; {utilisation:.0%} of the speed of a large matrix product there.",
            f"- Rows drawn from {shares}; {phases}. Documents are packed; attention and positions stop at "
            "their boundaries.",
            f"- Muon for the matrices of the blocks, AdamW for the rest, peak learning rate "
            f"{training['learning_rate']}, warm-up {training['warmup']:.0%}, then a cosine to 0.",
            f"- The run {'was complete' if card['finished'] else 'had not ended when this copy was saved'}.",
            "",
            "## Data",
            "| source | what it is | training tokens available | share of rows |",
            "| --- | --- | --- | --- |",
            *sources,
            "",
            about["decontamination"],
            "",
            "## Tokenizer",
            f"Byte-level BPE of {card['vocab_size']:,} entries. What a size gives (bytes for each token on "
            "held-out text) and costs (parameters of an embedding of the width of `base`):",
            "",
            f"| entries | embedding parameters | {' | '.join(card['corpus'])} |",
            "| --- | --- |" + " --- |" * len(card["corpus"]),
            *table,
            "",
            about["vocabulary"],
            "",
            "## Not good for",
            about["limits"],
            "",
        ]
    )


def main() -> None:
    """Complete the card of the group named on the command line."""
    parsed, settings = arguments(__doc__.splitlines()[0], "group")
    folder = settings.path(parsed.group)
    try:
        card = json.loads((folder / "card.json").read_text())
        table = json.loads(settings.path(settings.values["work"], "tokenizer.json").read_text())
    except (OSError, ValueError) as error:
        raise Mistake(f"{folder}: no finished model ({error}); run tokenizer.py and pretrain.py first") from error
    seen = {source: round(share * card["tokens_seen"]) for source, share in card["settings"]["mixture"].items()}
    card |= measure(folder, settings, seen) | {"tokenizer_table": table}
    card["vocab_size"] = json.loads((folder / "config.json").read_text())["vocab_size"]
    text = json.dumps(card, indent=2, sort_keys=True) + "\n"
    replace_file(folder / "card.json", lambda path: path.write_text(text))
    replace_file(folder / "README.md", lambda path: path.write_text(render(card, settings.group("card"))))


if __name__ == "__main__":
    run(main)
