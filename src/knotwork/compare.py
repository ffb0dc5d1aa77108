"""Runs beside each other: found in experiments, commits, branches and folders, read, compared and written down.

The one module of the package that knows DVC. Nothing is checked out: the few small files of ``reports/<task>/``
are read from the repository's history into a temporary folder.
"""

import difflib
import shlex
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from knotwork import tasks
from knotwork.corpora.read import read_sonnets
from knotwork.errors import UserError
from knotwork.files import sha256, text_hash, write_text
from knotwork.params import MULTITASK
from knotwork.report.comparison.contrasts import Comparison, Entry, compare_entries
from knotwork.report.comparison.data import frames
from knotwork.report.comparison.page import comparison_page
from knotwork.report.comparison.scores import read_scores
from knotwork.report.comparison.text import to_markdown, to_terminal
from knotwork.report.data import beside, to_csv
from knotwork.report.elements import Page, Section
from knotwork.report.names import TASKS, enumerate_names
from knotwork.report.read import read_results

if TYPE_CHECKING:
    from dvc.repo import Repo

REPORTS = "reports"
WORKSPACE = "workspace"
FILES = ("metrics.json", "card.json", "history.csv", "pictures.json", "scores.tsv")
CORPUS = Path("data/raw")
SONNETS = CORPUS / "sonnet" / "dev.txt"


@dataclass(frozen=True)
class Run:
    """A run's name, the folder of its results, and what messages call that folder.

    ``joint``: of the results in the folder multitask's alone, otherwise all others.
    """

    name: str
    folder: Path
    shown: str
    joint: bool = False

    @property
    def tasks(self) -> set[str]:
        """The tasks that it has results of."""
        # Evaluation writes into a hidden folder first, which is left behind where it was killed.
        found = {path.parent.name for path in self.folder.glob("[!.]*/metrics.json")}
        return {task for task in found if (task == MULTITASK) == self.joint}

    @property
    def content(self) -> frozenset[tuple[str, str]]:
        """Names and hashes of its files: runs of the same content are the same."""
        files = [self.folder / task / name for task in self.tasks for name in FILES]
        return frozenset((str(f.relative_to(self.folder)), sha256(f)) for f in files if f.is_file())


@dataclass(frozen=True)
class Output:
    """The files to write; None leaves one out.

    ``data`` is the folder of the figures' data, with a page by default the one of its name beside it.
    """

    markdown: Path | None = None
    html: Path | None = None
    data: Path | None = None


def compare(names: Sequence[str], output: Output, corpus: Path = CORPUS) -> None:
    """Print the comparison of runs and write it to the files asked for.

    Args:
        names: folders, experiments, branches, commits, or ``workspace``; the others are held against the first.
            None: the workspace and all experiments of the commit that is checked out.
        output: the files to write.
        corpus: folder of the corpus by task, for texts that results hold only as hashes; the default may be absent.

    Raises:
        UserError: a run does not exist, has no results or broken ones, or fewer than two differ; or there is no
            such corpus.
    """
    if corpus != CORPUS and not corpus.is_dir():
        raise UserError(f"{corpus}: no such folder; name one with a folder for each task, as {CORPUS} is")
    sonnets = corpus / SONNETS.relative_to(CORPUS)
    # Printed last: the reader of a pipe may leave before the end.
    to_terminal(write_comparison(names, output, sonnets if sonnets.is_file() else SONNETS, corpus=corpus))


def write_comparison(
    names: Sequence[str],
    output: Output,
    sonnets: Path = SONNETS,
    more: Sequence[Section] = (),
    corpus: Path | None = None,
) -> Page:
    """Write the comparison as :func:`compare` does, with ``more`` sections after the results, and return it.

    ``sonnets`` is the file of the true sonnets of dev. Without a corpus, no example's text stands on the page.
    """
    if output.html and not output.html.suffix:
        raise UserError(f"{output.html}: a page needs an ending, such as {output.html}.html")
    with tempfile.TemporaryDirectory(prefix="knotwork-") as scratch:
        runs, same = _distinct(_find(names, Path(scratch)))
        comparison = compare_entries([run.name for run in runs], _entries(runs, sonnets))
    brief = _with(comparison_page(comparison, same), more)
    command = shlex.join(["knotwork", "compare", *names])
    texts = _texts(comparison, corpus) if corpus and output.html else {}
    for file, text in _files(comparison, same, brief, command, output, more, texts).items():
        write_text(file, text)
    return brief


def _with(page: Page, more: Sequence[Section]) -> Page:
    return replace(page, sections=[*page.sections[:1], *more, *page.sections[1:]])


def _files(
    comparison: Comparison,
    same: dict[str, str],
    brief: Page,
    command: str,
    output: Output,
    more: Sequence[Section],
    texts: dict[str, str],
) -> dict[Path, str]:
    """The texts of the files to write."""
    files = {}
    if output.markdown:
        files[output.markdown] = to_markdown(brief)
    folder = output.data or (beside(output.html) if output.html else None)
    if folder:
        files |= {folder / name: text for name, text in to_csv(frames(comparison)).items()}
    if output.html:
        # Imported here: pictures take a second to import.
        from knotwork.report.comparison.illustrated import illustrated_page
        from knotwork.report.page import render

        place = str(output.data) if output.data else f"the folder {folder.name} beside this page"
        files[output.html] = render(_with(illustrated_page(comparison, same, command, place, texts), more))
    return files


def _find(names: Sequence[str], scratch: Path) -> list[Run]:
    """Every named run, or the workspace and its experiments."""
    names = list(dict.fromkeys(names))
    folders = [name for name in names if Path(name).is_dir()]
    with nullcontext() if names and len(folders) == len(names) else _repository(names, folders) as repo:
        if repo is not None and not names:
            names = [WORKSPACE, *_experiments(repo)]
        labels = _labels(folders, [name for name in names if name not in folders])
        runs = []
        for place, name in enumerate(names):
            if name in labels:
                run, remedy = Run(labels[name], Path(name), name), _instead(Path(name))
            else:
                run, remedy = _recorded(repo, name, scratch / str(place)), f"run `dvc repro` and commit {REPORTS}"
            joint = replace(run, name=f"{run.name}/{MULTITASK}", joint=True)
            found = [each for each in (run, joint) if each.tasks]
            if not found:
                raise UserError(f"{run.shown}: holds no results (no <task>/metrics.json); {remedy}")
            runs += found
    return runs


def _labels(folders: Sequence[str], taken: Sequence[str]) -> dict[str, str]:
    """Each folder's name: as much of the end of its path as tells it from the others."""
    parts = {name: Path(name).resolve().parts for name in folders}
    for length in range(1, max(map(len, parts.values()), default=0) + 1):
        labels = {name: str(Path(*path[-length:])) for name, path in parts.items()}
        if len({*labels.values(), *taken}) == len(labels) + len(taken):
            return labels
    return {name: name for name in folders}


def _instead(folder: Path) -> str:
    """Which folder was meant, as far as one can tell."""
    if (folder / "metrics.json").is_file():
        return f"it is one task of a run, name {folder.parent}"
    inside = sorted({str(path.parents[1]) for path in folder.glob("*/*/metrics.json")})
    return f"did you mean {' or '.join(inside[:3])}?" if inside else f"name a folder such as {REPORTS}"


def _repository(names: Sequence[str], folders: Sequence[str]) -> "Repo":
    """The repository around the current folder."""
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo
    from dvc.scm import NoSCM, SCMError

    try:
        repo = Repo()
        if not isinstance(repo.scm, NoSCM):
            if repo.scm.no_commits:
                raise UserError(f"{repo.root_dir}: the repository has no commit yet; commit, or name folders")
            return repo
    except (NotDvcRepoError, SCMError):
        pass
    unknown = next((name for name in names if name not in folders), "")
    problem = f"{unknown}: no such folder, and " if unknown else ""
    remedy = _near(unknown) or "name folders"
    raise UserError(f"{problem}not in a git repository with DVC, which experiments and commits need; {remedy}")


def _experiments(repo: "Repo") -> list[str]:
    """The experiments of the commit that is checked out."""
    found = sorted(name for experiments in repo.experiments.ls().values() for name, _ in experiments)
    if not found:
        raise UserError(
            "the commit that is checked out has no experiments; make one (`dvc exp run -S adapter=kan`) or name "
            "the runs to compare"
        )
    return found


def _recorded(repo: "Repo", name: str, destination: Path) -> Run:
    """The workspace, or a run that the repository's history holds, its files copied to ``destination``."""
    from dvc.api import DVCFileSystem
    from dvc.scm import RevError, resolve_rev

    if name == WORKSPACE:
        return Run(name, Path(repo.root_dir) / REPORTS, REPORTS)
    try:
        commit = resolve_rev(repo.scm, name)
    except RevError as error:
        raise UserError(_no_such_run(repo, name, str(error))) from error
    files = DVCFileSystem(repo.root_dir, rev=commit)
    folders = files.ls(f"/{REPORTS}", detail=False) if files.isdir(f"/{REPORTS}") else []
    for folder in folders:
        for file in FILES if files.isfile(f"{folder}/{FILES[0]}") else ():
            if files.isfile(f"{folder}/{file}"):
                copy = destination / Path(folder).name / file
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(files.read_bytes(f"{folder}/{file}"))
    return Run(name, destination, f"{name}:{REPORTS}")


def _no_such_run(repo: "Repo", name: str, problem: str) -> str:
    if "ambiguous" in problem:
        return (
            f"{name}: several experiments have this name; give a commit (`dvc exp list --all-commits` lists them)"
        )
    experiments = [found for of_commit in repo.experiments.ls(all_commits=True).values() for found, _ in of_commit]
    known = {WORKSPACE, *experiments, *repo.scm.list_branches(), *repo.scm.list_tags()}
    remedy = _near(name, known) or "`dvc exp list --all-commits` lists the experiments"
    return f"{name}: no such folder, experiment, branch or commit; {remedy}"


def _near(name: str, known: Iterable[str] = ()) -> str:
    """What a misspelt name may have meant: one of those that are known, or a folder beside it."""
    path = Path(name)
    beside = difflib.get_close_matches(path.name, [folder.name for folder in path.parent.glob("*/")])
    near = dict.fromkeys([*difflib.get_close_matches(name, sorted(known)), *(str(path.parent / f) for f in beside)])
    return f"did you mean {' or '.join(near)}?" if near else ""


def _distinct(runs: list[Run]) -> tuple[list[Run], dict[str, str]]:
    """The runs that differ, and the names of the others with the run that they repeat."""
    kept: dict[frozenset[tuple[str, str]], Run] = {}
    same = {}
    for run in runs:
        first = kept.setdefault(run.content, run)
        if first is not run:
            same[run.name] = first.name
    if len(kept) < 2:
        if same:
            raise UserError(
                f"{enumerate_names([runs[0].name, *same])} hold the same files; name two runs that differ"
            )
        raise UserError(f"{runs[0].name}: there is nothing to compare it with; name another run")
    return list(kept.values()), same


def _texts(comparison: Comparison, corpus: Path) -> dict[str, str]:
    """The texts of dev by the hash that ``scores.tsv`` knows them by, as far as the corpus is there."""
    places = [(name, folder / name) for folder in (corpus, corpus / MULTITASK) for name in comparison.tasks]
    there = [(name, place) for name, place in places if name in TASKS and any(place.glob("dev.*"))]
    rows = [row for name, place in there for row in tasks.get(name).read(place, "dev").rows]
    texts = ["\n".join(row.texts) for row in rows]
    return {text_hash(text): text for text in texts}


def _entries(runs: list[Run], sonnets: Path) -> list[Entry]:
    """Every run's results on every task, tasks in their usual order."""
    texts = {}
    if sonnets != SONNETS or sonnets.is_file():
        texts = {text_hash(row.texts[0]): row.texts[0] for row in read_sonnets(sonnets).rows}
    order = list(TASKS)
    found = sorted(
        {task for run in runs for task in run.tasks},
        key=lambda task: (order.index(task) if task in order else len(order), task),
    )
    return [entry for task in found for run in runs if task in run.tasks for entry in _entries_of(run, task, texts)]


def _entries_of(run: Run, task: str, texts: dict[str, str]) -> list[Entry]:
    file = run.folder / task / "scores.tsv"
    try:
        found = []
        for result in read_results(run.folder / task):
            scores = read_scores(file, result.task if result.member else None)
            known = {split: each.with_texts(texts) for split, each in scores.items()}
            found.append(Entry(run.name, replace(result, member=False), known))
        return found
    except UserError as error:
        raise UserError(str(error).replace(str(run.folder), run.shown)) from error
