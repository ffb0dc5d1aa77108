"""Encode the text shards into memory-mapped token files, a training and a held-out part for each source.

Writes ``<work>/tokens/<source>.<part>.bin``: the token ids as uint16, every document preceded by
``<|endoftext|>``; and ``index.json``: tokens, bytes and documents of each part.
"""

import itertools
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rows import open_tokenizer
from settings import Mistake, arguments, replace_file, run
from shards import find_shards, read_documents
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

BATCH = 200  # documents encoded at once
CONTRACTION = re.compile(r"(?i)(n't|'(?:s|m|d|ll|re|ve))\b")
QUOTE = re.compile(r"(?i)(?<!\w)'(?!(?:s|m|d|ll|re|ve)\b)|'(?!\w)")
PUNCTUATION = re.compile(r"\.\.\.|--|[.,!?;:)\"“”](?!\w)|(?<!\w)[(\"“”]")


def space_out(text: str) -> str:
    """Write a text as treebanks do: ``It's good.`` becomes ``It 's good .``."""
    text = CONTRACTION.sub(r" \1", text)
    for mark in (QUOTE, PUNCTUATION):
        text = mark.sub(r" \g<0> ", text)
    return re.sub(r"[ \t]{2,}", " ", text).strip()


def write_source(
    paths: list[Path],
    folder: Path,
    source: str,
    tokenizer: PreTrainedTokenizerBase,
    held_out_megabytes: float,
    max_megabytes: float | None,
    spaced: float,
    seed: int,
) -> dict[str, Any]:
    """Encode one source; its first ``held_out_megabytes`` (10⁶ bytes, whole documents) are held out.

    A contiguous part is held out because neighbouring documents often come from one book. A share
    ``spaced`` of the training documents is written with :func:`space_out`, drawn with ``seed``.
    """
    counts: Counter[str] = Counter()
    documents = itertools.chain.from_iterable(read_documents(path, counts) for path in paths)
    generator = np.random.default_rng([seed, *source.encode()])
    limit = None if max_megabytes is None else (held_out_megabytes + max_megabytes) * 1e6
    parts: dict[str, Counter[str]] = {"held_out": Counter(), "train": Counter()}
    seen = 0
    progress = tqdm(desc=source, unit="B", unit_scale=True, mininterval=2)
    with (
        (folder / f"{source}.held_out.bin").open("wb") as held,
        (folder / f"{source}.train.bin").open("wb") as train,
    ):
        files = {"held_out": held, "train": train}
        for batch in _batches(documents):
            texts: list[tuple[str, str]] = []
            for text in batch:
                if limit is not None and seen >= limit:
                    break
                part = "held_out" if seen < held_out_megabytes * 1e6 else "train"
                size = len(text.encode())
                seen += size
                progress.update(size)
                if part == "train" and generator.random() < spaced:
                    text = space_out(text)
                parts[part].update(documents=1, bytes=len(text.encode()))
                texts.append((part, text))
            if not texts:
                break
            encoded = tokenizer([text for _, text in texts], verbose=False)["input_ids"]
            for (part, _), ids in zip(texts, encoded, strict=True):
                ids = np.array([tokenizer.eos_token_id, *ids], dtype=np.uint16)
                ids.tofile(files[part])
                parts[part]["tokens"] += len(ids)
    progress.close()
    return {"replaced": counts["replaced"], **{part: dict(count) for part, count in parts.items()}}


def _batches(documents: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(itertools.islice(documents, BATCH)):
        yield batch


def main() -> None:
    """Encode every source that the parameters name."""
    _, settings = arguments(__doc__.splitlines()[0])
    group, work = settings.group("tokens"), settings.path(settings.values["work"])
    tokenizer = open_tokenizer(work / "tokenizer")
    if len(tokenizer) > 2**16:
        raise Mistake(f"tokenizer.vocab_size: {len(tokenizer)} entries do not fit uint16; take at most 65536")
    aside = work / "tokens.part"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    index = {}
    for source, paths in find_shards(settings.path(settings.values["corpus"])).items():
        index[source] = write_source(
            paths,
            aside,
            source,
            tokenizer,
            held_out_megabytes=group["held_out_megabytes"],
            max_megabytes=group["max_megabytes"],
            spaced=group["spaced"].get(source, 0.0),
            seed=settings.values["seed"],
        )
        if index[source]["replaced"]:
            print(f"{source}: {index[source]['replaced']} documents held bytes that are not UTF-8; replaced")
        if not index[source]["train"] or not index[source]["held_out"]:
            raise Mistake(f"{source}: too little text for a held-out and a training part; lower held_out_megabytes")
    replace_file(aside / "index.json", lambda path: path.write_text(json.dumps(index, indent=2) + "\n"))
    shutil.rmtree(work / "tokens", ignore_errors=True)
    aside.replace(work / "tokens")


if __name__ == "__main__":
    run(main)
