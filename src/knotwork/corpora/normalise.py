"""One normalisation of text, the same for every file and split."""

import re

# The C1 control characters are Windows-1252 punctuation that lost its encoding; the others are invisible.
_CHARACTERS = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}
_CHARACTERS |= dict.fromkeys((*range(9), *range(14, 28), 0x7F, 0xAD, 0x200B, 0x2060, 0xFEFF), "")
_CHARACTERS |= {ord("´"): "'"}

_BREAK = re.compile(r"<\s*br\s*/?\s*>", re.IGNORECASE)
_BRACKETS = {"LRB": "(", "RRB": ")", "LSB": "[", "RSB": "]", "LCB": "{", "RCB": "}"}

_PAIR = re.compile(r'(\w?)"([^"]*)"(?=(\w?))')

_RULES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\+([/*])", r"\1"),
        (r"-([LR][RSC]B)-", lambda match: _BRACKETS[match[1]]),
        (r"[`']{2,}", '"'),
        # A field that was quoted twice: the outer quotes are the file's, not the writer's.
        (r'^(?:" )?"{3,} (.*) "{3,}$', r"\1"),
        # Inside it every quotation mark became two runs of marks, glued or with a space between.
        (r'"{2,}(?: "{2,})?', '"'),
        (r"(?<![^\s(\[{])` ([^`'\s](?:[^`]*?[^`'\s])?) '(?![^\s.,;:!?)\]}])", r"'\1'"),
        (r"`", "'"),
        # An opening bracket after a letter or a colon may be a function or a face: left as it is.
        (r"(?<![^\s(\[{\"'])([(\[{]) ", r"\1"),
        (r"(?<=\w) (?=(?i:n['’]t)\b)", ""),
        (r"(?<=[\w.\")]) (?=['’](?i:s|m|d|re|ve|ll)\b)", ""),
        (r" (?=[.,;:!?]+(?:[\s\"']|$))", ""),
        (r" (?=[)\]}])", ""),
        (r"(?<!\S)\$ (?=\d)", "$"),
        (r"(?<=\d) (?=%)", ""),
    )
]


def normalise(text: str) -> str:
    """Undo what tokenisers and file formats did to a text, so that it looks as it was once typed.

    - Line breaks (``<br />`` too) and runs of white space become one space; none at either end.
    - Invisible characters go; stray Windows-1252 punctuation becomes what it stood for.
    - Penn Treebank escapes: ``\\/`` and ``\\*`` lose the backslash, ``-LRB-`` and its kin become brackets,
      doubled back-quotes or apostrophes a quotation mark, single back-quotes an apostrophe.
    - Quotation marks that were escaped once or twice too often become one mark again; the marks that such
      a file put around the whole text go.
    - The spaces that a tokeniser put before punctuation, ``'s`` and ``n't``, inside brackets and quotation
      marks, after ``$`` and before ``%`` go. An apostrophe between two spaces is joined to a word in ``s``
      only if it is the one such in the text, since a pair may be quotation marks. Spaced hyphens stay, since
      they may be dashes.

    Capitals, spelling, accents, typographic quotes and every word stay. ``normalise`` of a normalised text
    changes nothing.
    """
    text = text.translate(_CHARACTERS)
    while _BREAK.search(text):  # removing one may leave another
        text = _BREAK.sub(" ", text)
    text = " ".join(text.split())
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    # Marks pair up in turn; an odd number says that one was lost, and then no pair can be trusted.
    if text.count('"') % 2 == 0:
        text = _PAIR.sub(_tighten, text)
    if text.count(" ' ") == 1:
        text = text.replace("s ' ", "s' ")
    return text


def _tighten(pair: re.Match) -> str:
    """A quotation without the spaces at its inner ends; a mark glued to a word outside may mean inches."""
    before, inside, after = pair.groups()
    if inside.isspace():
        return pair[0]
    if not before:
        inside = inside.lstrip()
    if not after:
        inside = inside.rstrip()
    return f'{before}"{inside}"'
