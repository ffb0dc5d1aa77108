"""Runs found in experiments, commits, branches and folders; `knotwork compare` as its console script calls it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from report.comparison.study import POEMS, Study, poem, right_on

from knotwork import cli


def git(home: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=home, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository: ``lora`` committed on main, ``full`` on a branch, ``kan`` and ``graph`` as experiments."""
    from dvc.api import exp_save
    from dvc.repo import Repo

    home = tmp_path_factory.mktemp("project")
    git(home, "init", "--quiet", "--initial-branch", "main")
    for key, value in {"user.email": "someone@example.org", "user.name": "Someone"}.items():
        git(home, "config", key, value)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("DVC_NO_ANALYTICS", "1")
        Repo.init().close()
        write(home, 30, "lora")
        git(home, "add", "--all")
        git(home, "commit", "--quiet", "--message", "LoRA")
        git(home, "switch", "--quiet", "--create", "full")
        write(home, 5, "full")
        git(home, "commit", "--quiet", "--all", "--message", "Full")
        git(home, "switch", "--quiet", "main")
        for name, wrong in {"exp-kan": 6, "exp-graph": 28}.items():
            write(home, wrong, name.removeprefix("exp-"))
            exp_save(name=name)
            git(home, "checkout", "--quiet", "--", ".")
    return home


def write(home: Path, wrong: int, adapter: str) -> None:
    """Results of SST in the working tree."""
    shutil.rmtree(home / "reports", ignore_errors=True)
    Study(home).classes("reports", "sst", right_on(*range(wrong)), adapter=adapter)


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """A function that runs `knotwork compare` in a folder: its output, or its one line of error."""

    def work(home: Path, *arguments: object, status: int = 0) -> str:
        monkeypatch.chdir(home)
        monkeypatch.setattr(sys, "argv", ["knotwork", "compare", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        output = capsys.readouterr()
        assert end.value.code == status, output.err
        if not status:
            return " ".join(output.out.split())
        assert output.out == ""
        (line,) = output.err.splitlines()
        return line

    return work


def test_experiments_commits_and_branches_are_read_without_checking_out(project: Path, compare) -> None:
    before = git(project, "status", "--porcelain"), git(project, "rev-parse", "HEAD")
    commit = git(project, "rev-parse", "--short", "full")
    text = compare(project, "HEAD", "exp-kan", commit)
    assert text.startswith(f"HEAD against exp-kan and {commit} ")
    assert (
        f"Against HEAD, exp-kan is better on SST (+40.0 points); {commit} is better on SST (+41.7 points)." in text
    )
    assert (git(project, "status", "--porcelain"), git(project, "rev-parse", "HEAD")) == before


def test_no_names_mean_the_workspace_and_its_experiments(project: Path, compare) -> None:
    text = compare(project)
    assert text.startswith("workspace against exp-graph and exp-kan ")


def test_a_changed_workspace_is_read_as_it_is(project: Path, compare) -> None:
    write(project, 12, "head")
    try:
        assert "Against HEAD, workspace is better on SST (+30.0 points)." in compare(project, "HEAD", "workspace")
    finally:
        git(project, "checkout", "--quiet", "--", ".")


def test_it_works_from_a_folder_inside(project: Path, compare) -> None:
    assert "+40.0 points" in compare(project / "reports" / "sst", "main", "exp-kan")


def test_runs_that_are_the_same_are_shown_once(project: Path, compare) -> None:
    text = compare(project, "workspace", "main", "HEAD", "exp-kan", "exp-kan")
    assert text.startswith("workspace against exp-kan ")
    assert "main holds the same files as workspace and is shown once." in text
    assert "HEAD holds the same files as workspace" in text


def test_refs_and_folders_can_be_mixed(project: Path, compare, study: Study) -> None:
    study.classes("mine", "sst", right_on(1))
    assert compare(project, "main", study.root / "mine").startswith("main against mine ")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


@pytest.fixture
def two(study: Study) -> Study:
    study.classes("a", "sst", right_on(*range(20)))
    study.classes("b", "sst", right_on(*range(3)))
    return study


def test_folders_need_no_repository(two: Study, compare) -> None:
    assert "Against a, b is better on SST (+28.3 points)." in compare(two.root, "a", "b")


def test_what_a_killed_evaluation_left_is_no_task(two: Study, compare) -> None:
    half = two.root / "a/.sst.x1.part"
    half.mkdir()
    (half / "metrics.json").write_text("{", encoding="utf-8")
    assert "a against b" in compare(two.root, two.root / "a", two.root / "b")


def test_folders_are_named_by_as_much_as_tells_them_apart(study: Study, compare) -> None:
    for run in ("one/lora", "two/lora", "two/full"):
        study.classes(run, "sst", right_on(len(run)))
        study.change_card(run, "sst", created=run)
    assert compare(study.root, "one/lora", "two/lora", "two/full").startswith(
        "one/lora against two/lora and two/full "
    )


def test_members_of_multitask_are_held_against_their_tasks_alone(study: Study, compare) -> None:
    for run, wrong in {"alone": 30, "joint": 5}.items():
        study.classes(run, "sst", right_on(*range(wrong)))
        study.classes(run, "quora", right_on(*range(wrong)))
    study.together("joint", "sst", "quora")
    text = compare(study.root, "alone", "joint", "--html", "page.html")
    assert "Against alone, joint/multitask is better on SST (+41.7 points) and on Quora (+41.7 points)." in text


def test_a_run_can_be_held_against_its_own_multitask(study: Study, compare) -> None:
    for run, wrong in {"other": 30, "joint": 5}.items():
        study.classes(run, "sst", right_on(*range(wrong)))
    study.together("joint", "sst")
    study.classes("joint", "sst", right_on(*range(28)))
    text = compare(study.root, "joint", "other", "--html", "page.html")
    assert text.startswith("joint against joint/multitask and other ")
    assert "Against joint, joint/multitask is better on SST (+38.3 points)." in text


def test_everything_is_written_to_files(two: Study, compare) -> None:
    compare(two.root, "a", "b", "--html", "out/page.html", "--markdown", "out/page.md", "--csv", "out/data")
    written = sorted(str(path.relative_to(two.root / "out")) for path in (two.root / "out").rglob("*.*"))
    names = ("calibration", "confusion", "costs", "curves", "differences", "disagreements", "scores")
    data = [f"data/{name}.csv" for name in names]
    assert written == [*data, "page.html", "page.md"]
    assert "+28.3" in (two.root / "out/page.md").read_text(encoding="utf-8")
    page = (two.root / "out/page.html").read_text(encoding="utf-8")
    assert "knotwork compare a b" in page
    assert "The data of every figure lie in out/data," in page
    assert "0.283333" in (two.root / "out/data/differences.csv").read_text(encoding="utf-8")


def test_a_pages_data_lie_beside_it_unless_told_otherwise(two: Study, compare) -> None:
    compare(two.root, "a", "b", "--html", "out/page.html")
    assert (two.root / "out/page/scores.csv").is_file()
    assert "lie in the folder page beside this page" in (two.root / "out/page.html").read_text(encoding="utf-8")


def test_a_page_without_an_ending_is_one_line_and_nothing_is_written(two: Study, compare) -> None:
    """Its data would go into a folder of its own name."""
    assert "out: a page needs an ending, such as out.html" in compare(two.root, "a", "b", "--html", "out", status=2)
    assert not (two.root / "out").exists()


def test_texts_are_looked_for_where_they_are(two: Study, compare) -> None:
    """A folder without the dev file is no corpus; the members' texts of multitask lie one folder down."""
    (two.root / "data/raw/sst").mkdir(parents=True)
    compare(two.root, "a", "b", "--html", "page.html")
    place = two.root / "data/raw/multitask/sst"
    place.mkdir(parents=True)
    rows = [f"x{index}\ttext {index}\t{index % 5}" for index in range(60)]
    (place / "dev.csv").write_text("\n".join(["id\tsentence\tsentiment", *rows]) + "\n", encoding="utf-8")
    for known in (False, True):
        assert ("text 7" in (two.root / "page.html").read_text(encoding="utf-8")) == known
        compare(two.root, "a", "b", "--html", "page.html")


def test_names_may_follow_an_option(two: Study, compare) -> None:
    assert compare(two.root, "a", "--markdown", "x.md", "b").startswith("a against b ")


def test_true_sonnets_can_be_brought_along(study: Study, compare) -> None:
    study.sonnets("a", 0.2, 3.0, hashed=True)
    study.sonnets("b", 0.7, 2.5, hashed=True)
    assert "could not be tested" in compare(study.root, "a", "b")
    texts = "\n\n".join(f"{number}\n\n{poem(number, 1)}" for number in range(POEMS))
    for name in ("mine/sonnet/dev.txt", "data/raw/sonnet/dev.txt"):
        (study.root / name).parent.mkdir(parents=True, exist_ok=True)
        (study.root / name).write_text(texts, encoding="utf-8")
    for text in (compare(study.root, "a", "b", "--corpus", "mine"), compare(study.root, "a", "b")):
        assert "could not be tested" not in text
        assert "b is better in chrF on the sonnets" in text


def test_an_experiment_that_does_not_exist_names_near_matches(project: Path, compare) -> None:
    line = compare(project, "main", "exp-knn", status=2)
    assert line == "error: exp-knn: no such folder, experiment, branch or commit; did you mean exp-kan?"
    line = compare(project, "main", "zzz", status=2)
    assert line.endswith("`dvc exp list --all-commits` lists the experiments")


def test_an_experiment_name_of_two_commits_is_one_line(project: Path, compare) -> None:
    for commit in (git(project, "rev-parse", "full"), 40 * "a"):
        git(project, "update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/twice", "full")
    line = compare(project, "main", "twice", status=2)
    assert line.startswith("error: twice: several experiments have this name; give a commit")


def test_a_folder_that_does_not_exist_names_near_matches(project: Path, compare, two: Study) -> None:
    (two.root / "lora-faithful").mkdir()
    line = compare(project, two.root / "lora-fathful", "main", status=2)
    assert line.endswith(f"did you mean {two.root / 'lora-faithful'}?")


def test_a_commit_without_results_is_one_line(project: Path, compare) -> None:
    tree = git(
        project, "commit-tree", "-m", "nothing", git(project, "hash-object", "-t", "tree", "-w", "/dev/null")
    )
    line = compare(project, "main", tree, status=2)
    assert line.startswith(f"error: {tree}:reports: holds no results (no <task>/metrics.json)")


@pytest.mark.parametrize(
    "runs, expected",
    [
        (["a", "empty"], "empty: holds no results (no <task>/metrics.json); name a folder such as reports"),
        (["a", "."], ".: holds no results (no <task>/metrics.json); did you mean a or b?"),
        (["a/sst", "b"], "a/sst: holds no results (no <task>/metrics.json); it is one task of a run, name a"),
        (["a"], "a: there is nothing to compare it with; name another run"),
        (["a", "./a"], "hold the same files; name two runs that differ"),
        (["a", "exp-kan"], "exp-kan: no such folder, and not in a git repository with DVC"),
        ([], "not in a git repository with DVC, which experiments and commits need; name folders"),
        (["a", "b", "--corpus", "none"], "none: no such folder; name one with a folder for each task"),
    ],
)
def test_bad_names_are_one_line(two: Study, compare, runs: list[str], expected: str) -> None:
    (two.root / "empty").mkdir()
    assert expected in compare(two.root, *runs, status=2)


def test_a_repository_without_a_commit_is_one_line(two: Study, compare) -> None:
    from dvc.repo import Repo

    git(two.root, "init", "--quiet")
    Repo.init(str(two.root)).close()
    assert "has no commit yet" in compare(two.root, status=2)
    assert "has no commit yet" in compare(two.root, "a", "HEAD", status=2)


def test_no_experiments_are_one_line(two: Study, compare) -> None:
    from dvc.repo import Repo

    git(two.root, "init", "--quiet")
    Repo.init(str(two.root)).close()
    git(two.root, "-c", "user.name=S", "-c", "user.email=s@example.org", "commit", "--allow-empty", "-qm", "x")
    assert "has no experiments; make one" in compare(two.root, status=2)


def spoil_schema(study: Study) -> None:
    study.results("b").change("sst", "metrics.json", schema_version=2)


def spoil_scores(study: Study) -> None:
    (study.root / "b/sst/scores.tsv").unlink()


def spoil_dev(study: Study) -> None:
    study.write_scores("b", "sst", [])


def spoil_examples(study: Study) -> None:
    study.change_scores("b", "sst", 0, id="another")


@pytest.mark.parametrize(
    "spoil, expected",
    [
        (spoil_schema, "b/sst/metrics.json: schema_version is 2, this version of knotwork reads 1"),
        (spoil_scores, "b/sst/scores.tsv: not found; a run without predictions cannot be compared"),
        (spoil_dev, "b/sst/scores.tsv: holds no dev rows"),
        (spoil_examples, "a and b, sst: the dev examples differ"),
    ],
)
def test_bad_results_are_one_line_and_nothing_is_written(two: Study, compare, spoil, expected: str) -> None:
    spoil(two)
    assert expected in compare(two.root, "a", "b", "--html", "page.html", status=2)
    assert not (two.root / "page.html").exists()


def test_bad_results_of_a_commit_are_named_by_it(project: Path, compare) -> None:
    write(project, 3, "lora")
    Study(project).results("reports").change("sst", "metrics.json", schema_version=2)
    git(project, "switch", "--quiet", "--create", "newer")
    git(project, "commit", "--quiet", "--all", "--message", "Newer")
    git(project, "switch", "--quiet", "main")
    line = compare(project, "main", "newer", status=2)
    assert line.startswith("error: newer:reports/sst/metrics.json: schema_version is 2")


def test_comparing_needs_no_model_library(two: Study) -> None:
    heavy = {"torch", "transformers", "peft", "spacy", "sklearn"}
    code = (
        "import sys; from pathlib import Path; from knotwork.compare import Output, compare; "
        f"compare(['a', 'b'], Output(html=Path('x.html'))); print({heavy | {'dvc'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=two.root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
