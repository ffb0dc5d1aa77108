"""Say what the base, the parser, the corpus and the members of multitask really are: data/identity/."""

from pathlib import Path

from knotwork.corpora import manifest
from knotwork.entry import run_stage
from knotwork.files import write_json
from knotwork.identity import base_identity, parser_identity
from knotwork.members import member_settings
from knotwork.params import GENERATED, TASKS, Params

IDENTITIES = Path("data/identity")


def work(params: Params, arguments: list[str]) -> None:
    """Write the identity files."""
    chosen = manifest.load(params.corpus.manifest)
    for member in {member.task: None for task in params.tasks for member in params.members(task)}:
        if member not in GENERATED:
            chosen.files(member)  # a task that the corpus lacks is an error now, not after an hour
    write_json(IDENTITIES / "corpus.json", manifest.identity(chosen, list(chosen.tasks)))
    write_json(IDENTITIES / "base.json", base_identity(params.base.path, params.base.revision))
    write_json(IDENTITIES / "parser.json", parser_identity(params.graphs.parser))
    for task in TASKS:
        for name, settings in member_settings(params, task).items():
            write_json(IDENTITIES / "tasks" / task / f"{name}.json", settings)


run_stage(work)
