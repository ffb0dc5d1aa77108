"""From parses to packed graphs, as the stages do it."""

import json
import shutil
import subprocess
import sys

import pytest
import yaml

from knotwork import tasks
from knotwork.encoding import encode
from knotwork.errors import UserError
from knotwork.files import sha256
from knotwork.graphs.docs import parse_task, used_rows
from knotwork.graphs.make import pack_task
from knotwork.graphs.pack import open_graphs
from knotwork.graphs.parse import Parser

from .conftest import PARSER, REPOSITORY
from .helpers import same

TASKS = ["sst", "quora", "sonnet"]
FEW = {"adapter": "graph", "graphs.parser": PARSER, "corpus.max_rows.sonnet": 1}


@pytest.fixture(scope="module")
def made(data, parameters, tmp_path_factory):
    """Parses and graphs of three tasks."""
    folder = tmp_path_factory.mktemp("made")
    params = parameters(FEW)
    raw = folder / "raw"
    shutil.copytree(data / "raw", raw)
    # One sonnet is enough to parse prefix by prefix.
    row = tasks.get("sonnet").read(raw / "sonnet", "dev").rows[0]
    (raw / "sonnet/dev.txt").write_text(f"{row.id}\n{row.texts[0]}\n", encoding="utf-8")
    for task in TASKS:
        parse_task(params, *params.members(task), raw / task, folder / "parses" / task)
        pack_task(params, *params.members(task), raw / task, folder / "parses" / task, folder / "graphs" / task)
    return folder


@pytest.mark.parametrize("task", TASKS)
def test_every_prompt_has_its_graph(made, parameters, builder, tokenizer, task):
    """What training looks up is what a fresh builder makes of the same rows."""
    rows = used_rows(parameters(FEW), *parameters(FEW).members(task), made / "raw" / task)
    splits = ["train", "dev"] if task == "sonnet" else ["train", "dev", "test"]
    assert sorted(path.stem for path in (made / "graphs" / task).iterdir()) == sorted(splits)
    for split in splits:
        packed = open_graphs(made / "graphs" / task / f"{split}.graph")
        examples = encode(tasks.get(task), rows[split][:5], tokenizer, 512)
        assert len(packed) == len(rows[split])
        for example in builder(task).examples(examples):
            assert same(packed.find(example.ids), example.graph)


def test_the_header_names_what_decided(made, parameters, builder):
    header = open_graphs(made / "graphs/sst/dev.graph").header
    fingerprint = json.loads(json.dumps(builder("sst").fingerprint))
    fingerprint["parser"]["path"] = header["parser"]["path"]
    assert fingerprint.items() <= header.items()
    assert header["corpus"] == sha256(made / "raw/sst/dev.csv")
    assert (header["task"], header["split"], header["max_length"]) == ("sst", "dev", 512)


@pytest.mark.parametrize("setting", [{"graphs.edges": ["word"]}, {"graphs.control": "random_tree"}])
@pytest.mark.parametrize("task", TASKS)
def test_other_edges_parse_nothing(made, parameters, tmp_path, monkeypatch, task, setting):
    def refuse(*_):
        raise AssertionError("parsed again")

    monkeypatch.setattr(Parser, "parse", refuse)
    params = parameters(FEW | setting)
    pack_task(params, *params.members(task), made / "raw" / task, made / "parses" / task, tmp_path / "graphs")
    folders = (made / "graphs" / task, tmp_path / "graphs")
    before, after = (open_graphs(folder / "train.graph") for folder in folders)
    assert len(before) == len(after)
    assert not same(before.graph(0), after.graph(0))


def test_stale_parses(made, parameters, tmp_path):
    params = parameters(FEW | {"corpus.max_rows.sst": 5})
    with pytest.raises(UserError, match="parses of other texts than the train rows"):
        pack_task(params, *params.members("sst"), made / "raw/sst", made / "parses/sst", tmp_path / "graphs")
    assert not (tmp_path / "graphs").exists()


@pytest.mark.parametrize("adapter", ["graph", "lora"])
def test_the_stages(made, tmp_path, adapter):
    """With a graph the files, otherwise the marker, without the libraries that only graphs need."""
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text) | {"adapter": adapter}
    values["graphs"]["parser"] = PARSER
    values["base"]["path"] = str(REPOSITORY / "assets/base-tiny")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    shutil.copytree(made / "raw/sst", tmp_path / "data/raw/sst")
    for stage in ("parse", "graphs"):
        code = (
            f"import runpy, sys; sys.argv = ['{stage}.py', 'sst']\n"
            f"try: runpy.run_path('{REPOSITORY}/stages/{stage}.py', run_name='__main__')\n"
            "except SystemExit as end: assert not end.code\n"
            f"assert {adapter == 'graph'} or not {{'spacy', 'tokenizers', 'torch'}} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    folders = [tmp_path / "data" / place / "sst" for place in ("parses", "graphs")]
    parses, graphs = (sorted(path.name for path in folder.iterdir()) for folder in folders)
    if adapter == "graph":
        assert graphs == ["dev.graph", "test.graph", "train.graph"]
    else:
        assert parses == graphs == ["no-graph.txt"]
