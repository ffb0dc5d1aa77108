"""A base's tokenizer for stages that need no model: without transformers, and so without torch."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from knotwork.errors import UserError


class PlainTokenizer:
    """As much of a transformers tokenizer as :func:`knotwork.encoding.encode` and the graphs use.

    Attributes:
        backend_tokenizer: the tokenizer itself.
        eos_token_id: id of the end of the text.
    """

    def __init__(self, backend: Tokenizer, eos_token_id: int) -> None:
        self.backend_tokenizer, self.eos_token_id = backend, eos_token_id

    def __call__(self, text: str, return_offsets_mapping: bool = False) -> dict[str, Any]:
        """Token ids, and on request the characters that each stands for."""
        encoded = self.backend_tokenizer.encode(text)
        offsets = {"offset_mapping": encoded.offsets} if return_offsets_mapping else {}
        return {"input_ids": encoded.ids, **offsets}


def open_tokenizer(folder: Path) -> PlainTokenizer:
    """The tokenizer in a base's folder.

    Raises:
        UserError: the folder has no ``tokenizer.json``, or it cannot be read or names no end-of-text token.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise UserError(
            f"base.path: graphs need the offsets of a fast tokenizer, and {folder} has no tokenizer.json"
        )
    try:
        backend = Tokenizer.from_file(str(file))
        end = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))["eos_token"]
        code = backend.token_to_id(end["content"] if isinstance(end, dict) else end)
    except Exception as error:  # the tokenizers library raises bare exceptions
        reason = str(error).split("\n")[0]
        raise UserError(
            f"base.path: the tokenizer of {folder} cannot be read ({reason}); fetch it again"
        ) from error
    if code is None:
        raise UserError(
            f"base.path: the tokenizer of {folder} does not know its own end-of-text token; fetch it again"
        )
    return PlainTokenizer(backend, code)
