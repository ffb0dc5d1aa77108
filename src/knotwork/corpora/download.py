"""Fetching the files of a task: from the local folder, a mirror folder, or their address."""

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.util import Retry

from knotwork.corpora.manifest import SEAL, File, Manifest
from knotwork.errors import UserError
from knotwork.files import CHUNK, whole_folder

MIRROR_VARIABLE = "KNOTWORK_MIRROR"
SET_MIRROR = f"set corpus.mirror or {MIRROR_VARIABLE} to a folder that holds it"
TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two pieces of the answer
RETRIES = 3
BACK_OFF = 1.0  # seconds before the second retry, doubled for each further one
BUSY = (429, 500, 502, 503, 504)

logger = logging.getLogger(__name__)


def fetch(
    manifest: Manifest,
    task: str,
    destination: Path,
    mirror: Path | None = None,
    rejected: Path = Path("data/rejected"),
) -> None:
    """Put the verified files of a task into ``destination``, which appears whole or not at all.

    They are named ``train.csv``, ``dev.csv`` and ``test.csv``, or ``.txt`` for sonnets, and are unchanged.
    Each is taken from where it lies locally, else from the mirror (``<mirror>/<path>``, ``<mirror>/<name>``
    or ``<mirror>/*/<name>``), else from its address.

    Args:
        manifest: the corpus.
        task: one of its tasks.
        destination: the folder to make.
        mirror: a folder that is looked at before any download; ``None``: the one in ``KNOTWORK_MIRROR``.
        rejected: where a download with a wrong hash is kept for inspection.

    Raises:
        UserError: a file is found nowhere, has a wrong hash, cannot be downloaded or written.
    """
    suffix = ".txt" if task == "sonnet" else ".csv"
    files = manifest.files(task)
    with whole_folder(destination) as folder:
        for split, file in files.items():
            target = folder / f"{split}{suffix}"
            source, wrong = _find(manifest, file, mirror)
            if not source and not file.address:
                raise _found_nowhere(manifest, file, wrong)
            for line in wrong:
                logger.warning("%s; passed over", line)
            if source:
                shutil.copyfile(source, target)
            else:
                _download(file, target)
                _check(file, target, rejected)


def _find(manifest: Manifest, file: File, mirror: Path | None) -> tuple[Path | None, list[str]]:
    """The first file on this machine whose content is right, and what is wrong with those before it."""
    wrong = []
    try:
        for path in _places(manifest, file, mirror):
            mismatch = file.mismatch(path)
            if mismatch is None:
                return path, wrong
            wrong.append(f"{path}: {mismatch}")
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from error
    return None, wrong


def _found_nowhere(manifest: Manifest, file: File, wrong: list[str]) -> UserError:
    local = manifest.local(file)
    advice = [SET_MIRROR]
    if manifest.hint:
        advice.append(manifest.hint)
    if local.is_file():
        advice.append(f"accept the change by `{SEAL} <manifest>`")
    return UserError(f"{wrong[0] if wrong else f'{local}: not found'}; {', or '.join(advice)}")


def _places(manifest: Manifest, file: File, mirror: Path | None) -> Iterator[Path]:
    """The files on this machine that may be the wanted one."""
    local = manifest.local(file)
    if local.is_file():
        yield local
    place = mirror or os.environ.get(MIRROR_VARIABLE)
    # A file without a hash cannot be told from another of its name, so only its own place counts.
    if not place or not file.hash:
        return
    folder = Path(place).expanduser()
    if not folder.is_dir():
        source = "corpus.mirror" if mirror else MIRROR_VARIABLE
        raise UserError(f"{source}: {folder} is not a folder; correct or unset it")
    name = local.name
    inner = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    candidates = [folder / file.path, folder / name, *(entry / name for entry in inner)]
    yield from (path for path in dict.fromkeys(candidates) if path.is_file())


def _download(file: File, target: Path) -> None:
    """Stream a file from its address, retrying while it cannot be reached or is busy."""
    retry = Retry(
        RETRIES,
        backoff_factor=BACK_OFF,
        status_forcelist=BUSY,
        raise_on_status=False,
        # A server may ask for hours of waiting; an error that says to come back later is clearer.
        respect_retry_after_header=False,
    )
    # One line of our own at the end says more than the library's for every retry.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    try:
        with requests.Session() as session:
            session.mount("https://", HTTPAdapter(max_retries=retry))
            session.mount("http://", HTTPAdapter(max_retries=retry))
            # Compressed transfer would make the lengths of the answer and of the file differ.
            headers = {"Accept-Encoding": "identity"}
            with session.get(file.address, stream=True, timeout=TIMEOUT, headers=headers) as answer:
                answer.raise_for_status()
                total = file.size or int(answer.headers.get("Content-Length", 0)) or None
                bar = tqdm(total=total, desc=Path(file.path).name, unit="B", unit_scale=True)
                with target.open("wb") as out, bar:
                    for piece in answer.iter_content(CHUNK):
                        bar.update(out.write(piece))
    except requests.HTTPError as error:
        status = error.response.status_code
        advice = "try again later" if status in BUSY else "the manifest's address may be out of date"
        raise UserError(f"{file.address}: answered HTTP {status}; {advice}, or {SET_MIRROR}") from error
    except requests.RequestException as error:
        # The library's own message names its objects and pools.
        raise UserError(f"{file.address}: no network, or it broke off; try again, or {SET_MIRROR}") from error


def _check(file: File, target: Path, rejected: Path) -> None:
    """Refuse a download whose content is wrong, and keep it aside."""
    mismatch = file.mismatch(target)
    if mismatch is None:
        return
    rejected.mkdir(parents=True, exist_ok=True)
    aside = rejected / f"{Path(file.path).name}.rejected"
    shutil.move(target, aside)
    raise UserError(f"{file.address}: {mismatch}; kept as {aside}, not used; try again, or {SET_MIRROR}")
