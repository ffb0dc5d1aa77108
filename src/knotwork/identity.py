"""What the base model and the parser really are: resolved in one place, told by hash, without loading them."""

import importlib.util
import json
import math
import re
from pathlib import Path
from typing import Any

from knotwork.errors import UserError
from knotwork.files import digest, sha256

FILES_OF_A_BASE = [
    "config.json",
    "generation_config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "tokenizer*",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
]
ARCHITECTURES = ("gpt2",)
COMMIT = re.compile("[0-9a-f]{40}")
MASKS = (".attn.bias", ".attn.masked_bias")


def base_folder(path: str, revision: str | None) -> Path:
    """The folder of the base model: as given, or the hub's snapshot, downloaded once.

    Raises:
        UserError: no such folder or hub model, no pinned revision, no network, or not a usable GPT-2.
    """
    folder = Path(path)
    if not folder.is_dir():
        if path.count("/") > 1 or path.startswith((".", "/", "~", "assets/")):
            raise UserError(f"base.path: no folder {path}; give a folder in the hub's format, or a hub name")
        folder = _snapshot(path, revision)
    _check_base(folder)
    return folder


def base_identity(path: str, revision: str | None) -> dict[str, Any]:
    """Name, revision, hash of weights and tokenizer, and parameter count of the base model."""
    folder = base_folder(path, revision)
    parts = {file.name: sha256(file) for file in _identifying(folder)}
    return {
        "name": path,
        "revision": revision,
        "sha256": digest(parts, length=64),
        "files": parts,
        "parameters": sum(_parameters(file) for file in folder.glob("model*.safetensors")),
        "config": json.loads((folder / "config.json").read_text(encoding="utf-8")),
    }


def parser_identity(name: str) -> dict[str, Any]:
    """Name, version and hash of a spaCy pipeline: a folder or an installed package.

    Raises:
        UserError: neither a folder with a ``meta.json`` nor an installed package.
    """
    folder = Path(name)
    if not folder.is_dir():
        package = importlib.util.find_spec(name) if name.isidentifier() else None
        if package is None or not package.submodule_search_locations:
            raise UserError(
                f"graphs.parser: {name} is neither a folder nor an installed package; "
                f"use assets/parser, or install it with `python -m spacy download {name}`"
            )
        found = sorted(Path(package.submodule_search_locations[0]).glob("*/meta.json"))
        folder = found[0].parent if found else folder
    if not (folder / "meta.json").is_file():
        raise UserError(f"graphs.parser: {name} holds no spaCy pipeline (meta.json is missing)")
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    models = sorted(file for file in folder.glob("*/*") if file.is_file() and file.name != "card.json")
    models = [*models, folder / "config.cfg", *(file for file in [folder / "tokenizer"] if file.is_file())]
    parts = {str(file.relative_to(folder)): sha256(file) for file in models}
    return {
        "name": name,
        "pipeline": f"{meta.get('lang', '')}_{meta.get('name', '')}",
        "version": meta.get("version"),
        "sha256": digest(parts, length=64),
    }


def _snapshot(name: str, revision: str | None) -> Path:
    if revision is None:
        raise UserError(
            f"base.path: {name} is no folder here, and a hub model needs base.revision, the commit to take"
        )
    if not COMMIT.fullmatch(revision):
        raise UserError(
            f"base.revision: {revision!r} is no commit (40 hex digits), and branches and tags move; "
            "the model's page on the hub lists its commits"
        )
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    options = {"revision": revision, "allow_patterns": FILES_OF_A_BASE}
    try:
        return Path(snapshot_download(name, local_files_only=True, **options))
    except (LocalEntryNotFoundError, HFValidationError):
        pass
    try:
        return Path(snapshot_download(name, **options))
    except HFValidationError as error:
        raise UserError(f"base.path: {name!r} is neither a folder nor a hub name") from error
    except RevisionNotFoundError as error:
        raise UserError(f"base.revision: the hub's {name} has no revision {revision}") from error
    except RepositoryNotFoundError as error:
        raise UserError(f"base.path: the hub has no model {name} (or it is private)") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, httpx.HTTPError, OSError) as error:
        raise UserError(
            f"base.path: {name} is not in the local cache and the hub cannot be reached; "
            "set base.path to a local folder such as assets/base"
        ) from error


def _check_base(folder: Path) -> None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"base.path: {folder} is incomplete: config.json is missing") from error
    except ValueError as error:
        raise UserError(f"base.path: {folder / 'config.json'} is not JSON") from error
    if not isinstance(config, dict):
        raise UserError(f"base.path: {folder / 'config.json'} is no model's configuration")
    if config.get("model_type") not in ARCHITECTURES:
        raise UserError(
            f"base.path: {folder} holds a {config.get('model_type')!r} model; "
            f"known architectures: {', '.join(ARCHITECTURES)}"
        )
    weights = sorted(folder.glob("model*.safetensors"))
    if not weights:
        raise UserError(f"base.path: {folder} is incomplete: model.safetensors is missing")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise UserError(f"base.path: {folder} is incomplete: tokenizer.json (or vocab.json) is missing")
    _check_weights(folder, weights, config)
    _check_vocabulary(folder, config.get("vocab_size"))


def _check_weights(folder: Path, files: list[Path], config: dict[str, Any]) -> None:
    """The library would draw missing weights at random; here they are an error."""
    headers = [_header(file) for file in files]
    shapes = {
        name.removeprefix("transformer."): entry["shape"]
        for header in headers
        for name, entry in header.items()
        if name != "__metadata__"
    }
    width = config.get("n_embd")
    wanted = {
        "wte.weight": [config.get("vocab_size"), width],
        "wpe.weight": [config.get("n_positions"), width],
        **{f"h.{layer}.mlp.c_proj.weight": None for layer in range(config.get("n_layer", 0))},
        "ln_f.weight": [width],
    }
    for name, shape in wanted.items():
        if name not in shapes:
            raise UserError(f"base.path: {folder} is incomplete: the weights lack {name}; fetch it again")
        if shape is not None and shapes[name] != shape:
            raise UserError(
                f"base.path: {folder}: {name} has the shape {shapes[name]}, config.json says {shape}; "
                "they do not belong together"
            )


def _check_vocabulary(folder: Path, size: int | None) -> None:
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        return
    try:
        content = json.loads(tokenizer.read_text(encoding="utf-8"))
        used = [*content["model"]["vocab"].values(), *(token["id"] for token in content["added_tokens"])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"base.path: {tokenizer} is not a tokenizer's file; fetch it again") from error
    if size is None or max(used) >= size:
        raise UserError(
            f"base.path: {folder}: the tokenizer has ids up to {max(used)}, the model has {size}; "
            "they do not belong together"
        )


def _identifying(folder: Path) -> list[Path]:
    names = ["model*.safetensors", "config.json", "tokenizer.json", "vocab.json", "merges.txt"]
    return sorted(file for name in names for file in folder.glob(name))


def _header(file: Path) -> dict[str, Any]:
    """The header of a safetensors file, checked against the file's length."""
    try:
        with file.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            if not 2 <= length <= file.stat().st_size - 8:
                raise ValueError("impossible header length")
            header = json.loads(handle.read(length))
        end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"base.path: {file} is not a safetensors file ({error})") from error
    if file.stat().st_size != 8 + length + end:
        raise UserError(f"base.path: {file} is truncated; fetch it again")
    return header


def _parameters(file: Path) -> int:
    """Parameters in a file; the hub's GPT-2 also stores the causal masks of its blocks."""
    return sum(
        math.prod(entry["shape"])
        for name, entry in _header(file).items()
        if name != "__metadata__" and not name.endswith(MASKS)
    )
