import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from knotwork.corpora import manifest
from knotwork.errors import UserError

HASH = "a" * 64
BLOB = "b" * 40


@pytest.fixture
def write(tmp_path):
    def write(values):
        path = tmp_path / "own.yaml"
        path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
        return path

    return write


def own(**train):
    files = {split: {"path": f"sst/{split}.tsv"} for split in manifest.SPLITS}
    files["train"] |= train
    return {"name": "own", "tasks": {"sst": files}}


def test_built_in_manifests_hold_the_four_tasks():
    for name in ("sample", "cs224n", "cs224n-quora-mini"):
        corpus = manifest.load(name)
        assert corpus.name == name
        assert set(corpus.tasks) == {"sst", "cfimdb", "quora", "sonnet"}


def test_the_official_files_are_pinned_by_commit_and_content():
    files = [file for task in manifest.load("cs224n").tasks.values() for file in task.files.values()]
    assert len({file.path for file in files}) == 12
    for file in files:
        assert file.address.endswith(f"/7570cfa4385f3417298573c770df5ddfe2d97f89/data/{file.path}")
        assert file.git_blob


def test_the_small_quora_split_replaces_quora_alone_and_has_no_address():
    official, small = manifest.load("cs224n"), manifest.load("cs224n-quora-mini")
    assert all(file.address is None and file.sha256 for file in small.files("quora").values())
    assert all(small.files(task) == official.files(task) for task in ("sst", "cfimdb", "sonnet"))


def test_the_sample_corpus_is_as_declared(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    sample = manifest.load("sample")
    files = [file for task in sample.tasks for file in sample.files(task).values()]
    if not any(file.hash for file in files):
        pytest.skip("sample.yaml is not sealed")
    for file in files:
        assert file.hash
        assert file.mismatch(sample.local(file)) is None


def test_paths_are_relative_to_the_manifest_or_to_the_project(write):
    path = write(own())
    corpus = manifest.load(str(path))
    assert corpus.local(corpus.files("sst")["dev"]) == path.parent / "sst" / "dev.tsv"
    sample = manifest.load("sample")
    assert not sample.local(sample.files("sst")["dev"]).is_absolute()


def test_a_base_gives_addresses_to_files_without_one(write):
    values = own(address="https://example.org/other.tsv", sha256=HASH)
    values["tasks"]["sst"]["base"] = "https://example.org/data"
    for split in ("dev", "test"):
        values["tasks"]["sst"][split]["git_blob"] = BLOB
    files = manifest.load(str(write(values))).files("sst")
    assert files["train"].address == "https://example.org/other.tsv"
    assert files["dev"].address == "https://example.org/data/sst/dev.tsv"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (own(sha265=HASH), "tasks.sst.train.sha265: unknown key; remove it"),
        (own() | {"licence": "x"}, "licence: unknown key; remove it"),
        (own(sha256="abc"), "tasks.sst.train.sha256: 'abc' is not allowed"),
        (own(size=-1), "tasks.sst.train.size: -1 is not allowed"),
        (own(path=""), "tasks.sst.train.path: '' is not allowed"),
        (own(address="ftp://example.org/x", sha256=HASH), "tasks.sst.train.address: 'ftp://example.org/x'"),
        (
            own(address="https://example.org/x"),
            "sst/train.tsv has an address but neither sha256 nor git_blob",
        ),
        ({"name": "own", "tasks": {"sts": own()["tasks"]["sst"]}}, "tasks.sts: 'sts' is not allowed"),
        ({"name": "own", "tasks": {"sst": {"train": {"path": "x"}}}}, "tasks.sst.dev: missing; add it"),
        ({"name": "own"}, "tasks: missing; add it"),
        ([1], "manifest: [1] is not allowed"),
        ("", "manifest: None is not allowed"),
        ("a: [", "not valid YAML"),
        ("name: one\nname: two", "key 'name' stands twice"),
    ],
)
def test_broken_manifests(write, values, message):
    path = write(values)
    with pytest.raises(UserError) as error:
        manifest.load(str(path))
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_parts_of_a_manifest_can_be_shared(write):
    """With YAML's anchors and merge keys."""
    splits = "train: &file {path: all.tsv}\n    dev: {<<: *file}\n    test: {<<: *file, path: test.tsv}"
    files = manifest.load(str(write(f"name: own\ntasks:\n  sst:\n    {splits}"))).files("sst")
    assert [files[split].path for split in ("train", "dev", "test")] == ["all.tsv", "all.tsv", "test.tsv"]


def test_unknown_manifests(tmp_path):
    with pytest.raises(UserError, match="no manifest 'cs224'; take cs224n, cs224n-quora-mini, sample or"):
        manifest.load("cs224")
    with pytest.raises(UserError, match=r"missing\.yaml not found"):
        manifest.load(str(tmp_path / "missing.yaml"))
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(UserError, match="cannot be read"):
        manifest.load(str(tmp_path / "folder.yaml"))


def test_unknown_task(write):
    with pytest.raises(UserError, match="own has no task 'quora'; it has sst"):
        manifest.load(str(write(own()))).files("quora")


def test_hashes_of_both_kinds(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"hello\n")
    sha = hashlib.sha256(b"hello\n").hexdigest()
    blob = "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object
    assert manifest.File(path="file", sha256=sha, size=6).mismatch(path) is None
    assert manifest.File(path="file", git_blob=blob).mismatch(path) is None
    assert manifest.File(path="file").mismatch(path) is None
    assert manifest.File(path="file", size=7).mismatch(path) == "has 6 bytes, not 7"
    assert manifest.File(path="file", git_blob=BLOB).mismatch(path) == f"has the hash {blob} (6 bytes), not {BLOB}"
    assert sha in manifest.File(path="file", sha256=HASH).mismatch(path)


def test_identity_is_what_lies_there_else_what_is_declared(write, tmp_path):
    values = own(sha256=HASH)
    values["tasks"]["sst"]["dev"]["git_blob"] = BLOB
    corpus = manifest.load(str(write(values)))
    (tmp_path / "sst").mkdir()
    (tmp_path / "sst" / "test.tsv").write_text("x")
    found = manifest.identity(corpus, ["sst"])
    assert found == {
        "manifest": "own",
        "files": {"sst": {"train": HASH, "dev": BLOB, "test": hashlib.sha256(b"x").hexdigest()}},
    }
    (tmp_path / "sst" / "train.tsv").write_text("changed")
    assert manifest.identity(corpus, ["sst"])["files"]["sst"]["train"] == hashlib.sha256(b"changed").hexdigest()


def test_identity_needs_a_hash_or_a_file(write):
    with pytest.raises(UserError, match=r"train\.tsv: not found; corpus own names it as sst\.train"):
        manifest.identity(manifest.load(str(write(own()))), ["sst"])


def test_sealing_writes_sizes_and_hashes(write, tmp_path):
    values = own(git_blob=BLOB)
    values["tasks"]["sst"]["test"] |= {"address": "https://example.org/test.tsv", "sha256": HASH}
    path = write(values)
    (tmp_path / "sst").mkdir()
    for split in ("train", "dev"):
        (tmp_path / "sst" / f"{split}.tsv").write_text(split)
    result = subprocess.run(
        [sys.executable, "-m", "knotwork.corpora.manifest", str(path)], capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (0, "")
    files = manifest.load(str(path)).files("sst")
    assert files["train"].sha256 == hashlib.sha256(b"train").hexdigest()
    assert files["train"].git_blob is None
    assert files["dev"].size == 3
    assert files["test"].sha256 == HASH
    sealed = path.read_text()
    manifest.seal(path)
    assert path.read_text() == sealed


def test_sealing_nothing_is_one_line():
    command = [sys.executable, "-m", "knotwork.corpora.manifest"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("error: usage: ")
