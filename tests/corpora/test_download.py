import errno
import hashlib
import logging
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from knotwork.corpora import download
from knotwork.corpora.manifest import Manifest
from knotwork.errors import UserError

CONTENT = {split: f"the {split} file\n".encode() * 50 for split in ("train", "dev", "test")}


class Server(ThreadingHTTPServer):
    """Serves CONTENT below /data/ on the loopback; ``answers`` replaces the first answers for train.csv."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = []
        self.asked = []
        self.released = threading.Event()

    @property
    def base(self):
        return f"http://127.0.0.1:{self.server_port}/data"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        split = Path(self.path).stem
        self.server.asked.append(split)
        answers = self.server.answers
        answer = answers.pop(0) if answers and split == "train" else 200
        if answer == "silence":
            self.server.released.wait()
            return
        body = b"somebody else's file" if answer == "wrong" else CONTENT[split]
        self.send_response(answer if isinstance(answer, int) else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:100] if answer == "truncated" else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "BACK_OFF", 0)
    server = Server()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data" / "raw" / "sst", tmp_path / "data" / "rejected"


def corpus(base=None, hint=None, task="sst"):
    files = {
        split: {"path": f"sub/{split}.csv", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for split, data in CONTENT.items()
    }
    return Manifest.model_validate({"name": "own", "hint": hint, "tasks": {task: {"base": base} | files}})


def fill(folder, splits=tuple(CONTENT)):
    folder.mkdir(parents=True)
    for split in splits:
        (folder / f"{split}.csv").write_bytes(CONTENT[split])
    return folder


def assert_nothing_left(destination):
    assert not destination.exists()
    assert not destination.parent.exists() or not list(destination.parent.iterdir())


def fetched(destination):
    return {path.stem: path.read_bytes() for path in destination.iterdir()}


def error_of(*arguments, **options):
    with pytest.raises(UserError) as error:
        download.fetch(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# Files on this machine


def test_local_files_need_nothing_else(places, tmp_path):
    fill(tmp_path / "sub")
    download.fetch(corpus(base="http://127.0.0.1:9/none"), "sst", places[0])
    assert fetched(places[0]) == CONTENT
    assert sorted(path.name for path in places[0].iterdir()) == ["dev.csv", "test.csv", "train.csv"]


def test_sonnets_become_text_files(places, tmp_path):
    fill(tmp_path / "sub")
    download.fetch(corpus(task="sonnet"), "sonnet", places[0])
    assert sorted(path.name for path in places[0].iterdir()) == ["dev.txt", "test.txt", "train.txt"]


@pytest.mark.parametrize("folder", ["sub", "", "any"])
def test_a_mirror_holds_a_file_by_path_by_name_or_in_any_folder(places, tmp_path, folder):
    mirror = tmp_path / "mirror"
    fill(mirror / folder)
    download.fetch(corpus(), "sst", places[0], mirror)
    assert fetched(places[0]) == CONTENT


def test_the_variable_names_a_mirror(places, tmp_path, monkeypatch):
    monkeypatch.setenv("KNOTWORK_MIRROR", str(fill(tmp_path / "mirror")))
    download.fetch(corpus(), "sst", places[0])
    assert fetched(places[0]) == CONTENT


def test_the_parameter_goes_before_the_variable(places, tmp_path, monkeypatch):
    monkeypatch.setenv("KNOTWORK_MIRROR", str(tmp_path / "none"))
    download.fetch(corpus(), "sst", places[0], fill(tmp_path / "mirror"))
    assert fetched(places[0]) == CONTENT


def test_wrong_mirror_files_are_passed_over_with_one_line_each(places, tmp_path, caplog):
    mirror = tmp_path / "mirror"
    fill(mirror / "right")
    (mirror / "other").mkdir()
    (mirror / "other" / "dev.csv").write_bytes(b"another")
    with caplog.at_level(logging.WARNING):
        download.fetch(corpus(), "sst", places[0], mirror)
    assert fetched(places[0]) == CONTENT
    [record] = caplog.records
    assert record.getMessage().startswith(f"{mirror / 'other' / 'dev.csv'}: has the hash ")
    assert record.getMessage().endswith("; passed over")


def test_a_changed_local_file_is_named_with_both_hashes(places, tmp_path, caplog):
    fill(tmp_path / "sub")
    (tmp_path / "sub" / "dev.csv").write_bytes(b"changed")
    message = error_of(corpus(), "sst", places[0])
    assert hashlib.sha256(b"changed").hexdigest() in message
    assert hashlib.sha256(CONTENT["dev"]).hexdigest() in message
    assert "python -m knotwork.corpora.manifest" in message
    assert not caplog.records
    assert_nothing_left(places[0])


def test_a_file_without_a_hash_is_taken_from_its_own_place_only(places, tmp_path):
    files = {split: {"path": f"sub/{split}.csv"} for split in CONTENT}
    own = Manifest.model_validate({"name": "own", "tasks": {"sst": files}})
    message = error_of(own, "sst", places[0], fill(tmp_path / "mirror"))
    assert message.startswith("sub/train.csv: not found")
    fill(tmp_path / "sub")
    download.fetch(own, "sst", places[0])
    assert fetched(places[0]) == CONTENT


def test_a_wrong_mirror_file_alone_is_named_with_the_advice(places, tmp_path, caplog):
    mirror = fill(tmp_path / "mirror")
    (mirror / "train.csv").write_bytes(b"another")
    message = error_of(corpus(hint="corpus.manifest=other"), "sst", places[0], mirror)
    assert message.startswith(f"{mirror / 'train.csv'}: has the hash ")
    assert message.endswith("folder that holds it, or corpus.manifest=other")
    assert not caplog.records


def test_a_file_that_is_nowhere_and_has_no_address(places, tmp_path):
    message = error_of(corpus(hint="corpus.manifest=other"), "sst", places[0], fill(tmp_path / "mirror", ["train"]))
    assert message == (
        "sub/dev.csv: not found; set corpus.mirror or KNOTWORK_MIRROR to a folder that holds it, "
        "or corpus.manifest=other"
    )
    assert_nothing_left(places[0])


def test_a_mirror_that_is_no_folder(places, tmp_path, monkeypatch):
    assert error_of(corpus(), "sst", places[0], tmp_path / "none").startswith("corpus.mirror: ")
    monkeypatch.setenv("KNOTWORK_MIRROR", str(tmp_path / "none"))
    assert error_of(corpus(), "sst", places[0]).startswith("KNOTWORK_MIRROR: ")


def test_an_unreadable_mirror_file(places, tmp_path, monkeypatch):
    mirror = fill(tmp_path / "mirror")

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("knotwork.corpora.manifest.sha256", refuse)
    assert error_of(corpus(), "sst", places[0], mirror) == (
        f"{mirror / 'train.csv'}: cannot be read (Permission denied)"
    )


# Downloads


def test_a_download(server, places, capsys):
    download.fetch(corpus(server.base.replace("/data", "")), "sst", places[0])
    assert fetched(places[0]) == CONTENT
    assert "train.csv: 100%" in capsys.readouterr().err


def test_only_what_the_mirror_lacks_is_downloaded(server, places, tmp_path):
    download.fetch(corpus(server.base), "sst", places[0], fill(tmp_path / "mirror", ["train", "test"]))
    assert fetched(places[0]) == CONTENT
    assert server.asked == ["dev"]


@pytest.mark.parametrize("answers", [[500, 500], [429, 503]])
def test_a_busy_server_is_asked_again(server, places, answers):
    server.answers = answers
    download.fetch(corpus(server.base), "sst", places[0])
    assert fetched(places[0]) == CONTENT
    assert server.asked == ["train", "train", "train", "dev", "test"]


def test_a_server_that_stays_busy(server, places):
    server.answers = [500] * 20
    message = error_of(corpus(server.base), "sst", places[0])
    assert "answered HTTP 500; try again later" in message
    assert len(server.asked) == 1 + download.RETRIES
    assert_nothing_left(places[0])


def test_an_address_that_is_gone(server, places):
    server.answers = [404]
    message = error_of(corpus(server.base), "sst", places[0])
    assert message.startswith(f"{server.base}/sub/train.csv: answered HTTP 404; ")
    assert server.asked == ["train"]
    assert_nothing_left(places[0])


def test_a_wrong_file_is_kept_aside_and_not_used(server, places):
    destination, rejected = places
    server.answers = ["wrong"]
    message = error_of(corpus(server.base), "sst", destination)
    assert hashlib.sha256(b"somebody else's file").hexdigest() in message
    assert hashlib.sha256(CONTENT["train"]).hexdigest() in message
    assert (rejected / "train.csv.rejected").read_bytes() == b"somebody else's file"
    assert "data/rejected/train.csv.rejected" in message
    assert_nothing_left(destination)


def test_a_body_that_breaks_off(server, places):
    server.answers = ["truncated"]
    message = error_of(corpus(server.base), "sst", places[0])
    assert "no network, or it broke off" in message
    assert_nothing_left(places[0])


def test_a_server_that_never_answers(server, places, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", (0.05, 0.05))
    server.answers = ["silence"] * 20
    assert "KNOTWORK_MIRROR" in error_of(corpus(server.base), "sst", places[0])
    assert_nothing_left(places[0])


def test_no_network_names_what_would_help(server, places, caplog):
    base = server.base
    server.shutdown()
    server.server_close()
    message = error_of(corpus(base), "sst", places[0])
    assert "corpus.mirror" in message
    assert "KNOTWORK_MIRROR" in message
    assert not caplog.records
    assert_nothing_left(places[0])


# Writing


@pytest.mark.parametrize("way", ["copy", "download"])
def test_a_full_disk_leaves_nothing(server, places, tmp_path, monkeypatch, way):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    copied = shutil.copyfile
    if way == "copy":
        monkeypatch.setattr(shutil, "copyfile", lambda a, b: full() if "dev" in str(b) else copied(a, b))
        message = error_of(corpus(), "sst", places[0], fill(tmp_path / "mirror"))
    else:
        monkeypatch.setattr(download, "tqdm", FullBar)
        message = error_of(corpus(server.base), "sst", places[0])
    assert message.startswith(f"{places[0]}: cannot be written (No space left on device)")
    assert_nothing_left(places[0])


class FullBar(download.tqdm):
    """Fails where the file is written: between two pieces."""

    def update(self, n=1):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_an_unwritable_destination(places, tmp_path):
    (tmp_path / "data").write_text("a file where a folder should be")
    message = error_of(corpus(), "sst", places[0], fill(tmp_path / "mirror"))
    assert message.startswith(f"{places[0]}: cannot be written")


def test_an_older_destination_is_replaced_or_left_as_it_was(places, tmp_path):
    destination = places[0]
    fill(destination)
    (destination / "old.csv").write_text("old")
    error_of(corpus(), "sst", destination)
    assert (destination / "old.csv").exists()
    download.fetch(corpus(), "sst", destination, fill(tmp_path / "mirror"))
    assert fetched(destination) == CONTENT
