"""The paper's set-up without its data: a base of GPT-2's shape in the hub's format, a corpus behind an address."""

import functools
import hashlib
import shlex
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import yaml
from dvc.utils.hydra import apply_overrides
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

from knotwork import load_run
from knotwork.files import read_json
from knotwork.params import TASKS

from .conftest import REPOSITORY, change, copy_project

FILES = {"train": "ids-sst-train.csv", "dev": "ids-sst-dev.csv", "test": "ids-sst-test-student.csv"}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Forty rows of the sample corpus on a server of the loopback, and the folder that it serves."""
    folder = tmp_path_factory.mktemp("server")
    for name in FILES.values():
        lines = (REPOSITORY / "data/sample" / name).read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / name).write_text("".join(lines[:41]), encoding="utf-8")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def project(tmp_path_factory, address):
    """The project with the paper's recipe, on a base of GPT-2's shape (two of its twelve layers)."""
    folder = copy_project(tmp_path_factory.mktemp("paper"))
    base = folder / "gpt2"
    shutil.copytree(REPOSITORY / "assets/base-tiny", base)
    vocabulary = read_json(base / "config.json")["vocab_size"]
    torch.manual_seed(0)
    config = GPT2Config(n_layer=2, vocab_size=vocabulary, bos_token_id=0, eos_token_id=0)
    assert (config.n_embd, config.n_head, config.n_positions) == (768, 12, 1024)
    model = GPT2LMHeadModel(config)
    model.save_pretrained(base)
    # The hub's file has names without the prefix, and the causal mask of every block.
    weights = {name: value.contiguous() for name, value in model.transformer.state_dict().items()}
    masks = {f"h.{block}.attn.bias": torch.ones(1, 1, 1024, 1024).tril() for block in range(config.n_layer)}
    save_file(weights | masks, base / "model.safetensors", metadata={"format": "pt"})
    where, served = address
    files = {
        split: {"path": name, "sha256": hashlib.sha256((served / name).read_bytes()).hexdigest()}
        for split, name in FILES.items()
    }
    own = {"name": "served", "tasks": {"sst": {"base": where, **files}}}
    (folder / "served.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    short = {f"train.epochs.{task}": 1 for task in TASKS}
    here = {"corpus.manifest": "served.yaml", "base.path": "gpt2", "base.revision": None}
    recipe = shlex.split((folder / "recipes/paper").read_text(encoding="utf-8"))
    apply_overrides(folder / "params.yaml", recipe[1::2])
    change(folder / "params.yaml", short | here)
    return folder


def stage(execute, folder, *words, **options):
    name, *arguments = words
    return execute(folder, "stages/run", f"stages/{name}.py", *arguments, NO_PROXY="127.0.0.1", **options)


@pytest.fixture(scope="module")
def downloaded(project, execute):
    """The project with its corpus, and what it is."""
    stage(execute, project, "identify")
    stage(execute, project, "download", "sst")
    return project


def test_identity_of_the_base(downloaded):
    identity = read_json(downloaded / "data/identity/base.json")
    assert identity["config"]["n_embd"] == 768
    # Embeddings of 8,192 tokens and 1,024 positions, and two blocks.
    assert identity["parameters"] == 768 * (8192 + 1024) + 2 * 7_087_872 + 2 * 768


@pytest.mark.parametrize("adapter", ["lora", "kan", "graph"])
def test_training(downloaded, execute, monkeypatch, adapter):
    """`make paper` and `make paper ARGS="-S adapter=..."`."""
    change(downloaded / "params.yaml", {"adapter": adapter})
    for name in ("parse", "graphs"):
        stage(execute, downloaded, name, "sst")
    stage(execute, downloaded, "train", "sst", "1")
    monkeypatch.chdir(downloaded)
    run = load_run(Path("models/sst"))
    assert run.card["decisive"][f"{adapter}.r"] == 32
    assert run.card["decisive"][f"{adapter}.learning_rate"] == 1e-5
    assert run.card["max_length"] == 1024
    assert run.card["selection"] == "dev"
    # A and B of rank 32 on both matrices of the MLP in two layers.
    lora, trained = 2 * 2 * 32 * (768 + 4 * 768), run.card["trainable"]["adapter"]
    assert trained == lora if adapter == "lora" else trained > lora
    assert len(run.predict(["A warm, quiet film."])[0].probabilities) == 5


def test_a_served_file_that_is_another(project, execute, address):
    """The old data stays, the wrong file is kept aside, the next attempt succeeds."""
    _, served = address
    file = served / FILES["dev"]
    right = file.read_bytes()
    stage(execute, project, "identify")
    stage(execute, project, "download", "sst")
    before = {path.name: path.read_bytes() for path in (project / "data/raw/sst").iterdir()}
    file.write_bytes(b"somebody else's rows\n")
    try:
        done = stage(execute, project, "download", "sst", status=2)
    finally:
        file.write_bytes(right)
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: http://127.0.0.1:")
    assert hashlib.sha256(right).hexdigest() in error
    assert hashlib.sha256(b"somebody else's rows\n").hexdigest() in error
    assert (project / "data/rejected/ids-sst-dev.csv.rejected").read_bytes() == b"somebody else's rows\n"
    assert {path.name: path.read_bytes() for path in (project / "data/raw/sst").iterdir()} == before
    stage(execute, project, "download", "sst")


def test_a_file_that_is_gone(project, execute, address):
    _, served = address
    (served / FILES["test"]).rename(served / "moved.csv")
    try:
        done = stage(execute, project, "download", "sst", status=2)
    finally:
        (served / "moved.csv").rename(served / FILES["test"])
    assert "answered HTTP 404" in done.stderr.splitlines()[-1]
    assert "KNOTWORK_MIRROR" in done.stderr.splitlines()[-1]
