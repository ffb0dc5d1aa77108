"""A user's mistake is one line and exit status 2, through the scripts that DVC calls."""

import errno
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel

from knotwork import entry, evaluation
from knotwork.errors import UserError
from knotwork.files import read_json, write_json
from knotwork.training import run

from .conftest import REPOSITORY, change, copy_project

TINY = REPOSITORY / "assets/base-tiny"
COMMIT = "0" * 40


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, execute):
    """A copy of the project in which the stages before training have run."""
    folder = copy_project(tmp_path_factory.mktemp("bad"))
    execute(folder, "stages/run", "stages/identify.py")
    execute(folder, "stages/run", "stages/download.py", "sst")
    return folder


@pytest.fixture
def project(prepared):
    """That copy, with its parameters, its data and its models put back after the test."""
    kept = (prepared / "params.yaml").read_bytes()
    shutil.copytree(prepared / "data", prepared / "kept", dirs_exist_ok=True)
    yield prepared
    (prepared / "params.yaml").write_bytes(kept)
    shutil.rmtree(prepared / "data")
    (prepared / "kept").rename(prepared / "data")
    for name in ("models", "reports", "own"):
        shutil.rmtree(prepared / name, ignore_errors=True)


@pytest.fixture
def fails(project, execute):
    """A function that runs a stage with changed parameters and gives its one line on stderr."""

    def work(*stage, changes=None, **variables):
        if changes:
            change(project / "params.yaml", changes)
        done = execute(project, "stages/run", f"stages/{stage[0]}.py", *stage[1:], status=2, **variables)
        lines = done.stderr.splitlines()
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith("error: ")
        return lines[0]

    return work


@pytest.fixture
def base(project):
    """A folder with a copy of the smallest base."""
    shutil.copytree(TINY, project / "own")
    return project / "own"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"train.epoch": 3}, "train.epoch: unknown key; did you mean 'train.epochs'?"),
        ({"adapter": "lore"}, "adapter: 'lore' is not allowed"),
        ({"tasks": ["sst", "mnli"]}, "tasks.1: 'mnli' is not allowed"),
        ({"lora.r": "many"}, "lora.r: 'many' is not allowed"),
        ({"seeds": []}, "seeds: [] is not allowed"),
        ({"corpus.manifest": "samples"}, "corpus.manifest: no manifest 'samples'"),
        ({"graphs.parser": "en_core_none"}, "graphs.parser: en_core_none is neither"),
    ],
)
def test_parameters(fails, project, changes, message):
    before = (project / "data/identity/base.json").read_bytes()
    assert message in fails("identify", changes=changes)
    assert (project / "data/identity/base.json").read_bytes() == before


def test_every_stage_checks_the_parameters_first(fails, project):
    change(project / "params.yaml", {"seeds": [-1]})
    for stage in ("identify", "report", "train"):
        assert "seeds.0: -1 is not allowed" in fails(stage)


def test_task_that_the_corpus_lacks(fails, project):
    manifest = {"name": "own", "tasks": {"quora": {split: {"path": "x.csv"} for split in ("train", "dev", "test")}}}
    (project / "own.yaml").write_text(yaml.safe_dump(manifest))
    message = fails("identify", changes={"corpus.manifest": "own.yaml"})
    assert "corpus.manifest: own has no task 'sst'; it has quora" in message


@pytest.mark.parametrize(
    "path, revision, variables, messages",
    [
        ("openai-community/gpt2", None, {}, ["base.revision", "openai-community/gpt2"]),
        ("gone", None, {}, ["base.path: gone is no folder", "base.revision"]),
        ("./gone", None, {}, ["base.path: no folder ./gone"]),
        ("nobody/nothing", COMMIT, {}, ["base.path: nobody/nothing", "cannot be reached", "assets/base"]),
        (
            "nobody/nothing",
            COMMIT,
            {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"},
            ["base.path: nobody/nothing", "cannot be reached"],
        ),
        ("a name", COMMIT, {}, ["base.path: 'a name' is neither a folder nor a hub name"]),
    ],
)
def test_hub(fails, tmp_path, path, revision, variables, messages):
    line = fails(
        "identify",
        changes={"base.path": path, "base.revision": revision},
        **{"HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1", **variables},
    )
    for message in messages:
        assert message in line


def edit_config(**values):
    def edit(folder):
        config = read_json(folder / "config.json")
        write_json(folder / "config.json", config | values)

    return edit


def cut(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-100])


def lose_layer(folder):
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if ".h.1." not in name and not name.startswith("h.1.")}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def lose(name):
    return lambda folder: (folder / name).unlink()


def write(name, content):
    return lambda folder: (folder / name).write_text(content)


def other_tokenizer(folder):
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"]["unknown to the model"] = 8192
    (folder / "tokenizer.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "damage, message",
    [
        (edit_config(model_type="llama"), "holds a 'llama' model; known architectures: gpt2"),
        (lose("config.json"), "is incomplete: config.json is missing"),
        (lose("model.safetensors"), "is incomplete: model.safetensors is missing"),
        (lose("tokenizer.json"), "is incomplete: tokenizer.json (or vocab.json) is missing"),
        (lose_layer, "is incomplete: the weights lack h.1.mlp.c_proj.weight"),
        (cut, "model.safetensors is truncated"),
        (write("model.safetensors", "no weights at all"), "model.safetensors is not a safetensors file"),
        (write("config.json", "{"), "config.json is not JSON"),
        (write("config.json", "[]"), "config.json"),
        (write("tokenizer.json", "{"), "tokenizer.json"),
        (edit_config(vocab_size=5000), "they do not belong together"),
        (edit_config(n_positions=1024), "wpe.weight has the shape [512, 128], config.json says [1024, 128]"),
        (other_tokenizer, "the tokenizer has ids up to 8192, the model has 8192"),
    ],
)
def test_local_base(fails, base, damage, message):
    damage(base)
    line = fails("identify", changes={"base.path": "own"})
    assert "base.path" in line
    assert message in line


def test_context_of_the_base(fails):
    message = fails("train", "sst", "1", changes={"base.max_length": 513})
    assert "base.max_length: 513 is longer than the context of assets/base-tiny (512 tokens)" in message


def test_prompt_longer_than_the_context(fails, project):
    rows = (project / "data/raw/sst/train.csv").read_text().splitlines(keepends=True)
    (project / "data/raw/sst/train.csv").write_text(rows[0] + rows[1].replace("\t", "\t" + "word " * 50, 3))
    torch.manual_seed(0)
    tiny = GPT2Config(**{**read_json(TINY / "config.json"), "n_positions": 16, "n_embd": 16, "n_layer": 1})
    shutil.copytree(TINY, project / "own")
    GPT2LMHeadModel(tiny).save_pretrained(project / "own")
    change(project / "params.yaml", {"tasks": ["quora"], "base.path": "own", "base.max_length": 16})
    write_json(project / "data/identity/base.json", {"sha256": "0"})
    raw = project / "data/raw/quora"
    raw.mkdir(parents=True)
    for split, name in {"train": "train", "dev": "dev", "test": "test-student"}.items():
        shutil.copyfile(REPOSITORY / f"data/sample/quora-{name}.csv", raw / f"{split}.csv")
    message = fails("train", "quora", "1")
    assert "base.max_length: 16 tokens are too few for the prompt" in message


def test_data_that_is_missing_or_broken(project, monkeypatch, capsys):
    (project / "data/raw/sst/train.csv").write_bytes(b"\tid\tsentence\tsentiment\n0\tx\t\xff\t1\n")
    assert "train.csv:2" in in_process(project, monkeypatch, capsys, "train", "sst", "1")
    (project / "data/identity/base.json").unlink()
    line = in_process(project, monkeypatch, capsys, "train", "sst", "1")
    assert "base.json: not found; run `dvc repro` first" in line


def test_evaluation_without_models(fails, project):
    assert "models/sst/seed-1: no trained run there; make one with `dvc repro`" in fails("evaluate", "sst")
    assert not (project / "reports").exists()


def in_process(project, monkeypatch, capsys, stage, *arguments):
    """Run a stage's script in this process; its one line on stderr."""
    import runpy

    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "argv", [f"stages/{stage}.py", *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(f"stages/{stage}.py")
    line = capsys.readouterr().err.strip().splitlines()[-1] if end.value.code else ""
    assert end.value.code in (0, 2)
    return line


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def tree(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_full_disk_in_training_and_evaluation(project, monkeypatch, capsys):
    """What was there stays, nothing half-written is left, and the next attempt succeeds."""
    for stage in ("baseline", "zero_shot", "graphs"):
        assert in_process(project, monkeypatch, capsys, stage, "sst") == ""
    for attempt in (None, run.model_card):
        before = tree(project / "models") if attempt else {}
        if attempt:
            change(project / "params.yaml", {"lora.r": 4})
        with monkeypatch.context() as patch:
            patch.setattr(run, "model_card", full_disk)
            line = in_process(project, patch, capsys, "train", "sst", "1")
            assert line.startswith("error: models/sst/seed-1: cannot be written (No space left on device)")
            assert tree(project / "models") == before
        assert in_process(project, monkeypatch, capsys, "train", "sst", "1") == ""
    assert read_json(project / "models/sst/seed-1/run.json")["decisive"]["lora.r"] == 4

    assert in_process(project, monkeypatch, capsys, "evaluate", "sst") == ""
    before = tree(project / "reports")
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "write_text", full_disk)
        line = in_process(project, patch, capsys, "evaluate", "sst")
        assert line.startswith("error: reports/sst: cannot be written (No space left on device)")
    assert tree(project / "reports") == before

    # A base that is not the one of the run.
    card = read_json(project / "models/sst/seed-1/run.json")
    write_json(project / "models/sst/seed-1/run.json", card | {"base": card["base"] | {"sha256": "0" * 64}})
    line = in_process(project, monkeypatch, capsys, "evaluate", "sst")
    assert "models/sst/seed-1: trained on a base with hash 000000000000" in line
    assert tree(project / "reports") == before


def test_place_that_cannot_be_written(fails, project, monkeypatch, capsys):
    """A file where a folder should be: no user may write there, root included."""
    (project / "models").write_text("a file")
    line = in_process(project, monkeypatch, capsys, "train", "sst", "1")
    assert line.startswith("error: models/sst/seed-1: cannot be written")
    (project / "models").unlink()
    shutil.rmtree(project / "data/raw")
    (project / "data/raw").write_text("a file")
    assert "data/raw/sst: cannot be written" in fails("download", "sst")


def test_full_disk_for_the_note_of_the_time(tmp_path, monkeypatch):
    """The note is written last and is all that is lost."""
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(REPOSITORY / "params.yaml", "params.yaml")
    monkeypatch.setattr(sys, "argv", ["stages/probe.py"])
    Path("data").write_text("a file where the folder data should be")
    with pytest.raises(SystemExit) as end:
        entry.run_stage(lambda params, arguments: None)
    assert end.value.code == 2


def test_errors_of_the_program_are_not_hidden(tmp_path, monkeypatch):
    """Only a user's mistake becomes one line."""
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(REPOSITORY / "params.yaml", "params.yaml")
    monkeypatch.setattr(sys, "argv", ["stages/probe.py"])

    def work(params, arguments):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        entry.run_stage(work)
    assert issubclass(UserError, Exception)
