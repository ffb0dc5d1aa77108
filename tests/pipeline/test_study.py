"""`make study`: what it makes, keeps and skips, and what is left as it was. Reads top to bottom, as one story."""

import json

import pandas as pd
import pytest
import yaml

from .conftest import change, commit, copy_project, git

STUDY = {
    "recipe": "quick",
    "cells": {"head": {"adapter": "head"}, "lora": {"adapter": "lora", "lora.r": 2}},
    "groups": {
        "pair": {"about": "Two adapters", "tasks": ["sst", "unheard"], "seeds": [1], "cells": ["lora", "head"]},
    },
}
SWEEPS = STUDY | {
    "sweeps": {
        "rank": {
            "about": "Ranks",
            "task": "sst",
            "seeds": [1],
            "settings": {"adapter": "lora", "lora.r": 2, "lora.alpha": 4},
            "grids": {"scale": {"lora.r": [2, 4], "lora.alpha": [4]}, "rank": {"lora.r": [2]}},
        },
    },
}
KEPT = "reports/study/pair"
SWEEP = ["stages/run", "python", "-m", "knotwork.study", "--only", "sweep-rank"]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A committed copy of the project that declares two runs, and two of a task that there is not."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    (folder / "recipes/quick").write_text("-S train.patience=1\n", encoding="utf-8")
    write(folder, STUDY)
    commit(folder)
    return folder


@pytest.fixture
def study(execute):
    def work(folder, *arguments, status=0):
        return execute(folder, "stages/run", "python", "-m", "knotwork.study", *arguments, status=status)

    return work


def write(folder, declaration):
    (folder / "studies.yaml").write_text(yaml.safe_dump(declaration, sort_keys=False), encoding="utf-8")


def card(folder, run):
    return json.loads((folder / KEPT / run / "sst/card.json").read_text(encoding="utf-8"))


def begun(done):
    """The runs that were begun."""
    return [line.split()[1] for line in done.stdout.splitlines() if line.startswith("[")]


def test_no_time_writes_only_what_is_missing(project, study):
    assert begun(study(project, "--minutes", "0")) == []
    readme = (project / KEPT / "README.md").read_text(encoding="utf-8")
    assert "0 of 4 declared runs are finished." in readme
    assert "Not reached: lora on sst, head on sst, lora on unheard and head on unheard." in readme


def test_runs_are_made_kept_and_compared(project, study):
    done = study(project, status=2)
    assert begun(done) == ["pair/lora/sst", "pair/head/sst", "pair/lora/unheard", "pair/head/unheard"]
    # A task that there is not is one line, when its turn comes, and stops nothing.
    errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("error:")]
    assert len(errors) == 2
    assert "pair/lora/unheard" in errors[0]
    assert "'unheard' is not allowed" in errors[0]

    head = card(project, "head")
    assert head["command"] == "make study ARGS='--only pair/head/sst'"
    assert len(head["commit"]) == 40
    assert head["dirty"] is False
    assert head["parameters"]["train.patience"] == 1
    assert card(project, "lora")["parameters"]["lora.r"] == 2
    files = {path.name for path in (project / KEPT / "head/sst").rglob("*") if path.is_file()}
    assert files == {
        *("metrics.json", "card.json", "history.csv", "scores.tsv", "pictures.json"),
        *("seed-1.dev.csv", "seed-1.test.csv"),
    }
    readme = (project / KEPT / "README.md").read_text(encoding="utf-8")
    assert "2 of 4 declared runs are finished." in readme
    assert "Failed: lora on unheard" in readme
    assert "| head " in readme
    assert "Two adapters" in (project / KEPT / "page.html").read_text(encoding="utf-8")
    assert set(pd.read_csv(project / KEPT / "figures/scores.csv")["run"]) == {"lora", "head"}


def test_the_checkout_is_left_alone(project):
    status = git(project, "status", "--porcelain")
    assert status.split() == ["??", "reports/"]
    assert not (project / "models").exists()


def test_what_is_finished_is_skipped_and_what_has_changed_is_made_again(project, study):
    before = card(project, "head")["created"]
    changed = json.loads(json.dumps(STUDY))
    changed["cells"]["lora"]["lora.r"] = 4
    write(project, changed)
    listed = study(project, "--list", "--only", "sst").stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["outdated", "finished"]
    assert begun(study(project, "--only", "sst")) == ["pair/lora/sst"]
    assert card(project, "lora")["parameters"]["lora.r"] == 4
    assert card(project, "head")["created"] == before


def test_what_was_trained_before_comes_from_the_cache(project, study):
    """A new commit that changes nothing: the run is restored, with the card that says who made it."""
    write(project, STUDY)
    change(project / "params.yaml", {"report.examples": 1})
    git(project, "commit", "--quiet", "--all", "--message=More")
    study(project, "--only", "lora/sst")
    log = (project / ".dvc/tmp/study-logs/pair-lora-sst.log").read_text(encoding="utf-8")
    assert "Stage 'train@sst-1' is cached" in log
    assert "Stage 'evaluate@sst' is cached" in log
    assert card(project, "lora")["commit"] == card(project, "head")["commit"]


def test_a_second_study_at_the_same_time_is_refused(project, study):
    import fcntl

    (project / KEPT / "head/sst/card.json").unlink()
    with (project / ".dvc/tmp/study.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = study(project, "--only", "head/sst", status=2)
    assert done.stderr.count("\n") == 1
    assert "another study runs there" in done.stderr


def test_a_sweep_by_the_queue(project, execute):
    """A point on two grids is one run; heat maps of every grid; the checkout is left alone."""
    write(project, SWEEPS)
    before = (project / "params.yaml").read_bytes()
    done = execute(project, *SWEEP, "--jobs", "2")
    kept = project / "reports/study/sweep-rank"
    assert done.stdout.count("queued sweep-rank/") == 2
    points = {path.parents[1].name for path in kept.glob("*/sst/card.json")}
    assert points == {"r2-alpha4", "r4-alpha4"}
    card = json.loads((kept / "r4-alpha4/sst/card.json").read_text(encoding="utf-8"))
    assert card["command"] == "make study ARGS='--only sweep-rank/r4-alpha4/sst'"
    assert card["parameters"]["lora.r"] == 4
    assert card["dirty"] is False
    assert card["commit"] == git(project, "rev-parse", "HEAD").strip()
    scale = pd.read_csv(kept / "figures/scale.csv")
    assert scale[["lora.r", "lora.alpha"]].to_numpy().tolist() == [[2, 4], [4, 4]]
    assert scale["selection"].notna().all()
    assert (kept / "figures/rank.svg").is_file()
    assert "(figures/scale.svg)" in (kept / "README.md").read_text(encoding="utf-8")
    assert (project / "params.yaml").read_bytes() == before
    assert git(project, "for-each-ref", "refs/exps") == ""


def test_a_sweep_takes_up_what_the_queue_has_finished(project, execute):
    kept = project / "reports/study/sweep-rank"
    assert "0 left" in execute(project, *SWEEP, "--jobs", "1").stdout
    (kept / "r2-alpha4/sst/card.json").unlink()
    done = execute(project, *SWEEP, "--jobs", "1").stdout
    assert "1 left" in done
    assert "queued" not in done
    assert (kept / "r2-alpha4/sst/card.json").is_file()
    # What an older commit made is not taken for this one's.
    git(project, "commit", "--quiet", "--allow-empty", "--message=Newer")
    (kept / "r2-alpha4/sst/card.json").unlink()
    assert "queued sweep-rank/r2-alpha4/sst" in execute(project, *SWEEP, "--jobs", "1").stdout
    assert (kept / "r2-alpha4/sst/card.json").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "sweep-rnak"], "--only sweep-rnak: calls no cell; did you mean 'sweep-rank'?"),
        (["--jobs", "0"], "--jobs: 0 workers make nothing; give at least 1"),
        (["--jobs", "2", "--minutes", "5"], "--minutes: DVC's queue knows no time limit; leave it out, or --jobs"),
    ],
)
def test_a_wrong_option_is_one_line(project, study, options, message):
    assert study(project, *options, status=2).stderr == f"error: {message}\n"
