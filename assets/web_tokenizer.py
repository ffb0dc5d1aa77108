"""spaCy's English tokenizer, moved a little towards the word boundaries of the English Web Treebank."""

import re
from collections.abc import Callable

import spacy
from spacy.lang.char_classes import HYPHENS
from spacy.language import Language
from spacy.util import compile_infix_regex, compile_prefix_regex, compile_suffix_regex

# Runs of one mark are one word there: "!!!", "=====", "<<".
RUNS = [r"[!?]{2,}", r"\*{2,}", r"={2,}", r"_{2,}", r"\+{2,}", r"~{2,}", r"#{2,}", r"<{2,}", r">{2,}"]
# Bound prefixes stay with their word: "e-mail" and "co-workers", but "fully - written".
# fmt: off
BOUND = ["e", "co", "pre", "re", "non", "post", "anti", "ex", "un", "mid", "multi", "semi", "sub", "bi",
         "pro", "de"]
# fmt: on
PHONE_NUMBER = r"^(?:1-)?(?:\d{3}-)?\d{3}-\d{4}$"
# spaCy keeps these whole, the treebank does not.
CUT = {"and/or"}


@spacy.registry.callbacks("knotwork.web_tokenizer.v1")
def create_web_tokenizer() -> Callable[[Language], None]:
    """A callback for ``initialize.before_init``; the changed rules are saved with the pipeline."""
    return adapt_tokenizer


def adapt_tokenizer(nlp: Language) -> None:
    """Change the rules of ``nlp.tokenizer`` in place."""
    not_bound = "".join(rf"(?<!\b(?i:{prefix}))" for prefix in BOUND)
    infixes = [not_bound + rule if HYPHENS in rule else rule for rule in nlp.Defaults.infixes]
    tokenizer = nlp.tokenizer
    tokenizer.prefix_search = compile_prefix_regex([*RUNS, *nlp.Defaults.prefixes]).search
    tokenizer.suffix_search = compile_suffix_regex([*RUNS, *nlp.Defaults.suffixes]).search
    tokenizer.infix_finditer = compile_infix_regex(infixes).finditer
    tokenizer.token_match = re.compile(PHONE_NUMBER).match
    tokenizer.rules = {text: rule for text, rule in tokenizer.rules.items() if text not in CUT}
