"""Names of adapters and tasks as a reader says them."""

ADAPTERS = {
    "head": "the head alone",
    "full": "full fine-tuning",
    "lora": "LoRA",
    "kan": "KAN-LoRA",
    "graph": "Graph-LoRA",
}
TASKS = {
    "sst": "SST",
    "cfimdb": "CFIMDB",
    "quora": "Quora",
    "sonnet": "the sonnets",
    "symbolic": "equal formulas",
    "symbolic_choice": "derivatives and values",
    "multitask": "all tasks together",
}


def sentence_case(text: str) -> str:
    """The text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def enumerate_names(names: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
