"""Train the byte-level BPE tokenizer on the text shards, save it as GPT-2's is saved, and compare sizes."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from settings import arguments, replace_file, run
from shards import SEPARATOR, find_shards, read_documents
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GPT2TokenizerFast


def sample(folder: Path, megabytes: float, skip: float) -> Iterator[str]:
    """Documents of every source, an equal share of ``megabytes`` (10⁶ bytes) from each.

    The first ``skip`` megabytes of a source are passed over: they are the held-out part.
    """
    sources = find_shards(folder)
    for paths in sources.values():
        seen, end = 0.0, skip + megabytes / len(sources)
        for document in itertools.chain.from_iterable(read_documents(path, Counter()) for path in paths):
            if seen >= skip:
                yield document
            seen += len(document.encode()) / 1e6
            if seen >= end:
                break


def train_tokenizer(texts: Iterator[str], vocab_size: int, context: int) -> GPT2TokenizerFast:
    """A byte-level BPE tokenizer of at most ``vocab_size`` entries, ``<|endoftext|>`` among them.

    Every byte has an entry, so any text can be encoded and decoded without loss.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[SEPARATOR],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=True,
    )
    bpe.train_from_iterator(texts, trainer)
    return GPT2TokenizerFast(
        tokenizer_object=bpe,
        bos_token=SEPARATOR,
        eos_token=SEPARATOR,
        unk_token=SEPARATOR,
        model_max_length=context,
    )


def bytes_per_token(tokenizer: GPT2TokenizerFast, folder: Path, megabytes: float) -> dict[str, float]:
    """Mean bytes of a token on the first ``megabytes`` of each source: the part held out from training."""
    result = {}
    for source, paths in find_shards(folder).items():
        size = tokens = 0
        for document in itertools.chain.from_iterable(read_documents(path, Counter()) for path in paths):
            size += len(document.encode())
            tokens += len(tokenizer(document, verbose=False)["input_ids"])
            if size >= megabytes * 1e6:
                break
        result[source] = round(size / tokens, 3)
    return result


def main() -> None:
    """Write the tokenizer's folder and, beside it, a table of what the compared sizes give and cost."""
    _, settings = arguments(__doc__.splitlines()[0])
    group, work = settings.group("tokenizer"), settings.path(settings.values["work"])
    corpus, held_out = (
        settings.path(settings.values["corpus"]),
        settings.group("tokens")["held_out_megabytes"],
    )
    width = settings.group("base")["width"]
    table = []
    for size in sorted({group["vocab_size"], *group["compare"]}):
        texts = sample(corpus, group["sample_megabytes"], held_out)
        tokenizer = train_tokenizer(texts, size, settings.group("base")["context"])
        if size == group["vocab_size"]:
            tokenizer.save_pretrained(work / "tokenizer")
        row = {
            "vocab_size": len(tokenizer),
            "embedding_parameters": len(tokenizer) * width,
            "bytes_per_token": bytes_per_token(tokenizer, corpus, held_out),
        }
        print(json.dumps(row))
        table.append(row)
    replace_file(work / "tokenizer.json", lambda path: path.write_text(json.dumps(table, indent=2) + "\n"))


if __name__ == "__main__":
    run(main)
