"""Say what the base, the parser and the corpus really are: data/identity/*.json."""

from pathlib import Path

from knotwork.corpora import manifest
from knotwork.entry import run_stage
from knotwork.files import write_json
from knotwork.identity import base_identity, parser_identity
from knotwork.params import Params

IDENTITIES = Path("data/identity")


def work(params: Params, arguments: list[str]) -> None:
    """Write the three identity files."""
    chosen = manifest.load(params.corpus.manifest)
    for task in params.tasks:
        chosen.files(task)  # a task that the corpus lacks is an error now, not after an hour
    write_json(IDENTITIES / "corpus.json", manifest.identity(chosen, list(chosen.tasks)))
    write_json(IDENTITIES / "base.json", base_identity(params.base.path, params.base.revision))
    write_json(IDENTITIES / "parser.json", parser_identity(params.graphs.parser))


run_stage(work)
