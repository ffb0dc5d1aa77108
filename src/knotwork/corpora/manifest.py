"""Which files a corpus consists of: per task and split a path, an address, a size and a hash.

``python -m knotwork.corpora.manifest FILE`` writes the sizes and SHA-256 of its local files into a manifest.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from knotwork.errors import UserError, run_main
from knotwork.files import git_blob_id, sha256, write_text
from knotwork.params import SINGLE_TASKS, UniqueKeys

SPLITS = ("train", "dev", "test")
BUILT_IN = Path(__file__).parent / "manifests"
SEAL = "python -m knotwork.corpora.manifest"

Address = Annotated[str, Field(pattern=r"^https?://\S+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class File(_Strict):
    """One file. Without a hash it must be a local file."""

    path: str = Field(min_length=1)
    address: Address | None = None
    size: int | None = Field(None, ge=0)
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    git_blob: str | None = Field(None, pattern="^[0-9a-f]{40}$")

    @property
    def hash(self) -> str | None:
        """The declared hash: 64 digits are a SHA-256, 40 are git's blob id."""
        return self.sha256 or self.git_blob

    def hash_of(self, path: Path) -> str:
        """A file's hash, of the kind declared here; SHA-256 where none is."""
        return git_blob_id(path) if self.git_blob and not self.sha256 else sha256(path)

    def mismatch(self, path: Path) -> str | None:
        """What distinguishes a file's content from the declared one; ``None`` if nothing does."""
        found, size = self.hash_of(path), path.stat().st_size
        if self.hash is not None and found != self.hash:
            return f"has the hash {found} ({size} bytes), not {self.hash}"
        if self.size is not None and size != self.size:
            return f"has {size} bytes, not {self.size}"
        return None


class Splits(_Strict):
    """The files of a task; of ``sonnet``, dev holds whole sonnets and test openings of three lines.

    ``base`` is the address of the folder that holds those of its files that have no address of their own.
    """

    base: Address | None = None
    train: File
    dev: File
    test: File

    @property
    def files(self) -> dict[str, File]:
        """The files by split, their addresses filled in."""
        files = {split: getattr(self, split) for split in SPLITS}
        if not self.base:
            return files
        return {
            split: file if file.address else file.model_copy(update={"address": f"{self.base}/{file.path}"})
            for split, file in files.items()
        }

    @model_validator(mode="after")
    def _downloads_have_hashes(self) -> "Splits":
        for file in self.files.values():
            if file.address and not file.hash:
                raise ValueError(f"{file.path} has an address but neither sha256 nor git_blob; add one")
        return self


class Manifest(_Strict):
    """A corpus; ``hint`` is advice for the case that a file is found nowhere."""

    name: str = Field(min_length=1)
    hint: str | None = None
    tasks: dict[Literal[SINGLE_TASKS], Splits] = Field(min_length=1)
    _root: Path = PrivateAttr(default=Path())

    def files(self, task: str) -> dict[str, File]:
        """The files of a task by split.

        Raises:
            UserError: the manifest lacks the task.
        """
        if task not in self.tasks:
            raise UserError(f"corpus.manifest: {self.name} has no task {task!r}; it has {', '.join(self.tasks)}")
        return self.tasks[task].files

    def local(self, file: File) -> Path:
        """Where a file lies if it needs no download."""
        return self._root / file.path


def load(name_or_path: str) -> Manifest:
    """A built-in manifest by its name, or a user's own by its path, which ends in ``.yaml``.

    Paths in a built-in manifest are relative to the current folder, in a user's own to the folder it lies in.

    Raises:
        UserError: there is none, it is not YAML, an unknown key, a wrong value.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        names = sorted(entry.stem for entry in BUILT_IN.glob("*.yaml"))
        if name_or_path not in names:
            raise UserError(
                f"corpus.manifest: no manifest {name_or_path!r}; "
                f"take {', '.join(names)} or the path of a .yaml file of your own"
            )
        path = BUILT_IN / f"{name_or_path}.yaml"
    manifest = _parse(path)
    manifest._root = _root(path)
    return manifest


def identity(manifest: Manifest, tasks: list[str]) -> dict:
    """What the corpus really is: ``{"manifest": name, "files": {task: {split: hash}}}``.

    A local file counts as it lies there, any other as declared.

    Raises:
        UserError: the manifest lacks a task, or a local file without a hash is missing.
    """
    return {
        "manifest": manifest.name,
        "files": {
            task: {split: _hash(manifest, task, split, file) for split, file in manifest.files(task).items()}
            for task in tasks
        },
    }


def seal(path: Path) -> None:
    """Write the size and SHA-256 of every local file of a manifest into it; comments in it are lost.

    Raises:
        UserError: the manifest is broken or cannot be written.
    """
    values = _parse(path).model_dump(exclude_none=True)
    for splits in values["tasks"].values():
        for split in SPLITS:
            file = splits[split]
            local = _root(path) / file["path"]
            if local.is_file():
                file.pop("git_blob", None)
                file |= {"size": local.stat().st_size, "sha256": sha256(local)}
    # Not the default style: one line per file.
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000, default_flow_style=None)
    write_text(path, f"# Sizes and hashes: {SEAL} {path.name}\n{text}")


def _hash(manifest: Manifest, task: str, split: str, file: File) -> str:
    local = manifest.local(file)
    if local.is_file():
        return file.hash_of(local)
    if not file.hash:
        raise UserError(f"{local}: not found; corpus {manifest.name} names it as {task}.{split}")
    return file.hash


def _root(path: Path) -> Path:
    return Path() if path.parent.resolve() == BUILT_IN.resolve() else path.parent


def _parse(path: Path) -> Manifest:
    try:
        return Manifest.model_validate(yaml.load(path.read_text(encoding="utf-8"), Loader=UniqueKeys))
    except FileNotFoundError as error:
        raise UserError(f"corpus.manifest: {path} not found") from error
    except OSError as error:
        raise UserError(f"corpus.manifest: {path} cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    except ValidationError as error:
        raise UserError(f"{path}: {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    """One line for the first problem that pydantic found."""
    problem = error.errors()[0]
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    key = ".".join(str(part) for part in problem["loc"] if part != "[key]") or "manifest"
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it"
    if problem["type"] == "missing":
        return f"{key}: missing; add it"
    return f"{key}: {problem['input']!r} is not allowed ({problem['msg'][0].lower()}{problem['msg'][1:]})"


def _main() -> None:
    if len(sys.argv) != 2:
        raise UserError(f"usage: {SEAL} MANIFEST.yaml")
    seal(Path(sys.argv[1]))


if __name__ == "__main__":
    run_main(_main)
