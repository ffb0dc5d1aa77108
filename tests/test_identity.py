import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import (
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from knotwork import provenance
from knotwork.errors import UserError
from knotwork.identity import base_folder, base_identity, parser_identity

COMMIT = "0" * 40
PARSER = Path(__file__).parents[1] / "assets/parser"


@pytest.fixture
def base(tmp_path, tiny_base) -> Path:
    """A copy of the smallest base, to be broken."""
    return shutil.copytree(tiny_base, tmp_path / "base")


def change_config(base: Path, **values) -> None:
    file = base / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def error_of(path, revision=None) -> str:
    with pytest.raises(UserError) as error:
        base_folder(str(path), revision)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_identity_of_the_base(tiny_base):
    from transformers import GPT2LMHeadModel

    identity = base_identity(str(tiny_base), None)
    assert identity["parameters"] == sum(p.numel() for p in GPT2LMHeadModel.from_pretrained(tiny_base).parameters())
    assert identity["config"]["model_type"] == "gpt2"
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= identity["files"].keys()


def test_masks_in_the_hub_s_files_are_no_parameters(base):
    from safetensors.torch import load_file, save_file

    expected = base_identity(str(base), None)["parameters"]
    file = base / "model.safetensors"
    # As the hub's GPT-2 has it: names without the prefix, and the causal mask of every block.
    weights = {name.removeprefix("transformer."): value for name, value in load_file(file).items()}
    save_file(weights | {"h.0.attn.bias": torch.ones(1, 1, 512, 512)}, file, metadata={"format": "pt"})
    assert base_identity(str(base), None)["parameters"] == expected


def test_identity_follows_content_not_place(base, tiny_base):
    identity = base_identity(str(base), None)
    assert identity["sha256"] == base_identity(str(tiny_base), None)["sha256"]
    (base / "README.md").write_text("Another card.")
    assert base_identity(str(base), None)["sha256"] == identity["sha256"]
    change_config(base, note="changed")
    assert base_identity(str(base), None)["sha256"] != identity["sha256"]


def test_identity_loads_no_model(tiny_base):
    script = (
        "import sys; from knotwork.identity import base_identity; "
        f"base_identity({str(tiny_base)!r}, None); sys.exit(bool({{'torch', 'transformers'}} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("config.json", "config.json is missing"),
        ("model.safetensors", "model.safetensors is missing"),
        ("tokenizer.json", "tokenizer.json (or vocab.json) is missing"),
    ],
)
def test_incomplete_folder(base, name, expected):
    (base / name).unlink()
    assert expected in error_of(base)


def test_truncated_weights(base):
    weights = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(weights[:-100])
    assert error_of(base).endswith("model.safetensors is truncated; fetch it again")


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs", struct.pack("<Q", 4) + b"null", b"\0" * 64])
def test_weights_that_are_none(base, content):
    (base / "model.safetensors").write_bytes(content)
    assert "is not a safetensors file" in error_of(base)


def test_other_architecture(base):
    change_config(base, model_type="llama")
    assert "holds a 'llama' model; known architectures: gpt2" in error_of(base)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_config_that_is_none(base, text):
    (base / "config.json").write_text(text)
    assert str(base) in error_of(base)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_tokenizer_that_is_none(base, text):
    (base / "tokenizer.json").write_text(text)
    assert "tokenizer.json is not a tokenizer's file" in error_of(base)


def test_tokenizer_of_another_model(base):
    change_config(base, vocab_size=100)
    assert "do not belong together" in error_of(base)


@pytest.mark.parametrize("path", ["./missing", "/missing/base", "assets/missing", "a/b/c"])
def test_missing_folder(path):
    assert error_of(path).startswith(f"base.path: no folder {path}")


def test_hub_model_needs_a_revision():
    assert "a hub model needs base.revision" in error_of("gpt2")


@pytest.mark.parametrize("revision", ["main", "607a30d", "v1.0", COMMIT.upper().replace("0", "G")])
def test_revision_is_a_commit(revision):
    assert f"base.revision: {revision!r} is no commit" in error_of("gpt2", revision)


@pytest.fixture
def hub(monkeypatch):
    """A hub that is not reached: ``answer`` is raised or given for what is not in the cache."""

    def install(answer):
        calls = []

        def snapshot(name, local_files_only=False, **options):
            calls.append({"name": name, "local": local_files_only, **options})
            if local_files_only:
                raise LocalEntryNotFoundError("not in the cache")
            if isinstance(answer, Exception):
                raise answer
            return str(answer)

        monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
        return calls

    return install


def response():
    import httpx

    return httpx.Response(404, request=httpx.Request("GET", "https://hub.invalid"))


@pytest.mark.parametrize(
    "error, expected",
    [
        (
            lambda: RepositoryNotFoundError("none", response=response()),
            "the hub has no model gpt2 (or it is private)",
        ),
        (
            lambda: RevisionNotFoundError("none", response=response()),
            "base.revision: the hub's gpt2 has no revision 0000",
        ),
        (lambda: OfflineModeIsEnabled("offline"), "set base.path to a local folder such as assets/base"),
        (lambda: LocalEntryNotFoundError("no network"), "the hub cannot be reached; set base.path"),
        (lambda: OSError("no network"), "the hub cannot be reached; set base.path"),
    ],
    ids=["no model", "no revision", "offline", "no entry", "no network"],
)
def test_hub_errors_are_one_line(hub, error, expected):
    hub(error())
    assert expected in error_of("gpt2", COMMIT)


def test_hub_model_is_taken_at_its_revision_and_without_pickles(hub, tiny_base):
    calls = hub(tiny_base)
    assert base_folder("gpt2", COMMIT) == tiny_base
    assert [call["local"] for call in calls] == [True, False]
    assert all(call["revision"] == COMMIT for call in calls)
    patterns = calls[-1]["allow_patterns"]
    assert not any(Path("pytorch_model.bin").match(pattern) for pattern in patterns)
    assert any(Path("model.safetensors").match(pattern) for pattern in patterns)


def test_no_name_of_the_hub():
    assert "is neither a folder nor a hub name" in error_of("two words", COMMIT)


def test_identity_of_the_parser(tmp_path):
    identity = parser_identity(str(PARSER))
    copy = shutil.copytree(PARSER, tmp_path / "parser")
    assert parser_identity(str(copy))["sha256"] == identity["sha256"]
    (copy / "parser/model").write_bytes(b"other weights")
    assert parser_identity(str(copy))["sha256"] != identity["sha256"]


@pytest.mark.parametrize(
    "name, expected",
    [
        ("no_such_package", "neither a folder nor an installed package"),
        ("no/such/folder", "neither a folder nor an installed package"),
        ("json", "holds no spaCy pipeline"),
    ],
)
def test_parser_that_is_none(name, expected):
    with pytest.raises(UserError, match=rf"^graphs\.parser: {name} .*{expected}|^graphs\.parser: .*{expected}"):
        parser_identity(name)


def test_parser_folder_without_meta(tmp_path):
    with pytest.raises(UserError, match=r"holds no spaCy pipeline \(meta\.json is missing\)"):
        parser_identity(str(tmp_path))


def test_provenance_outside_git(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert provenance.commit() == {"commit": None, "dirty": None}


def test_provenance_tells_changed_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    file = tmp_path / "src/code.py"
    file.write_text("A = 1\n")
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "src"], ["commit", "-q", "-m", "First"]):
        subprocess.run([*git, *command], check=True)
    clean = provenance.commit()
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    file.write_text("A = 2\n")
    assert provenance.commit() == {**clean, "dirty": True}


def test_provenance_names_versions_and_machine():
    versions = provenance.versions()
    assert versions["python"].startswith("3.")
    assert {"torch", "transformers", "peft"} <= versions.keys()
    machine = provenance.machine("cpu", 3)
    assert machine["threads"] == 3
    assert machine["cpu"]
