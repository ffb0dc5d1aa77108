"""DVC runs the pipeline: what it runs again, what it restores, and what an experiment sees."""

import json
import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from .conftest import change, commit, copy_project, git

RUN = "models/sst/seed-1/run.json"
TRAINING = "train@sst-1"


@pytest.fixture(scope="module")
def project(tmp_path_factory, dvc):
    """A committed copy of the project whose pipeline has run once."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    commit(folder)
    dvc(folder, "repro")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=First results")
    return folder


@pytest.fixture
def tidy(project):
    """The project, put back as it was committed after the test."""
    yield project
    git(project, "reset", "--quiet", "--hard")
    git(project, "clean", "--quiet", "--force", "-d")


def ran(output):
    """The stages that DVC ran, in its words."""
    return re.findall(r"Running stage '([^']+)'", output)


def outdated(folder, dvc):
    """Stages of dvc.yaml that the next repro would run, as far as DVC knows before it runs one."""
    return {stage for stage in json.loads(dvc(folder, "status", "--json").stdout) if ":" not in stage}


def test_everything_is_there(project):
    made = {
        str(path.relative_to(project / "reports")) for path in (project / "reports").rglob("*") if path.is_file()
    }
    files = {"metrics.json", "card.json", "history.csv", "scores.tsv", "pictures.json"}
    predictions = {"predictions/seed-1.dev.csv", "predictions/seed-1.test.csv"}
    data = {f"report/{name}.csv" for name in ("scores", "curves", "confusion", "calibration")}
    assert made == {"report.html"} | data | {f"sst/{name}" for name in files | predictions}
    timed = {path.stem for path in (project / "data/timings").glob("*.json")}
    assert {"identify", "download-sst", "train-sst-1", "evaluate-sst", "report"} <= timed
    assert not list(project.rglob("*.part"))


def test_what_a_killed_stage_was_writing_outdates_nothing(project, dvc):
    """It lies beside what was made, in a folder that the next stage depends on."""
    left = project / "models/sst/.seed-1.x1.part"
    left.mkdir()
    try:
        (left / "model.safetensors").write_text("half", encoding="utf-8")
        assert "evaluate@sst" not in outdated(project, dvc)
    finally:
        shutil.rmtree(left)


def test_second_run_does_nothing(project, dvc):
    assert ran(dvc(project, "repro").stdout) == ["identify"]
    assert outdated(project, dvc) == {"identify"}


def test_other_settings_leave_training_alone(tidy, dvc):
    """Settings of other adapters, tasks and stages, and another copy of the parser."""
    shutil.copytree(tidy / "assets/parser", tidy / "assets/other-parser")
    meta = tidy / "assets/other-parser/meta.json"
    meta.write_text(meta.read_text().replace('"version":"', '"version":"9'))
    others = {
        "full.learning_rate": 0.01,
        "head.learning_rate": 0.01,
        "kan.grid_size": 7,
        "graph.heads": 2,
        "graphs.edges": ["dependency"],
        "graphs.control": "shuffled",
        "graphs.parser": "assets/other-parser",
        "train.epochs.quora": 7,
        "train.checkpoint_steps": 7,
        "corpus.max_rows.quora": 7,
        "answer.quora": "words",
        "evaluate.batch_tokens": 4096,
        "report.examples": 1,
    }
    change(tidy / "params.yaml", others)
    dvc(tidy, "repro", "identify")
    assert outdated(tidy, dvc) & {"parse@sst", "evaluate@sst", "report"} == {"parse@sst", "evaluate@sst", "report"}
    assert TRAINING not in outdated(tidy, dvc)
    # Parses and graphs of an adapter without a graph are a marker that never changes.
    assert ran(dvc(tidy, "repro", TRAINING).stdout) == ["identify", "parse@sst", "graphs@sst"]


@pytest.mark.parametrize(
    "file, retrains",
    [
        ("src/knotwork/adapters/full/__init__.py", False),
        ("src/knotwork/adapters/kan/layer.py", False),
        ("src/knotwork/adapters/graph/layer.py", False),
        ("src/knotwork/graphs/build.py", False),
        ("src/knotwork/report/build.py", False),
        ("src/knotwork/evaluation.py", False),
        ("src/knotwork/tasks/quora.py", False),
        ("src/knotwork/adapters/lora/__init__.py", True),
        ("src/knotwork/training/trainer.py", True),
        ("src/knotwork/tasks/sst.py", True),
    ],
)
def test_edited_code(tidy, dvc, file, retrains):
    place = tidy / file
    place.write_text(place.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    status = json.loads(dvc(tidy, "status", "--json", TRAINING).stdout)
    assert (TRAINING in status) == retrains


def test_byte_code_is_no_code(tidy, dvc):
    """Python puts it into the folders that stages depend on."""
    for name in ("adapters/lora", "training", "report"):
        folder = tidy / "src/knotwork" / name / "__pycache__"
        folder.mkdir(exist_ok=True)
        (folder / "module.cpython-311.pyc").write_bytes(b"compiled")
    dvc(tidy, "repro", "identify")  # git does not put back what an earlier test left there
    assert outdated(tidy, dvc) == {"identify"}


@pytest.mark.parametrize(
    "key, value", [("lora.r", 4), ("train.epochs.sst", 2), ("corpus.seed", 1), ("train.optimizer.warmup", 0.5)]
)
def test_deciding_settings_train_again(tidy, dvc, key, value):
    change(tidy / "params.yaml", {key: value})
    assert TRAINING in json.loads(dvc(tidy, "status", "--json", TRAINING).stdout)


def there(folder, dvc, adapter):
    """Another adapter by an experiment: gives what ran."""
    before = json.loads((folder / "reports/sst/metrics.json").read_text())["trainable_parameters"]
    names = ran(dvc(folder, "exp", "run", "-S", f"adapter={adapter}").stdout)
    assert json.loads((folder / RUN).read_text())["adapter"] == adapter
    difference = json.loads(dvc(folder, "metrics", "diff", "--json").stdout)["reports/sst/metrics.json"]
    assert {"old", "new", "diff"} <= difference["accuracy"].keys()
    assert difference["trainable_parameters"]["old"] == before
    return names


def and_back(folder, dvc):
    """LoRA again, from the run cache."""
    done = dvc(folder, "exp", "run", "-S", "adapter=lora").stdout
    assert ran(done) == ["identify"]
    assert f"Stage '{TRAINING}' is cached" in done


@pytest.mark.parametrize("other", ["full", "kan"])
def test_lora_other_lora_trains_nothing_the_second_time(tidy, dvc, other):
    first = (tidy / RUN).read_bytes()
    metrics = (tidy / "reports/sst/metrics.json").read_bytes()
    assert TRAINING in there(tidy, dvc, other)
    and_back(tidy, dvc)
    assert (tidy / RUN).read_bytes() == first
    assert (tidy / "reports/sst/metrics.json").read_bytes() == metrics


def test_what_a_graph_run_depends_on(tidy, dvc):
    assert {"parse@sst", "graphs@sst", TRAINING} <= set(there(tidy, dvc, "graph"))
    metrics = json.loads((tidy / "reports/sst/metrics.json").read_text())
    assert metrics["graph_edges_per_token"] > metrics["graph_dependency_edges_per_token"] > 0
    kept = (tidy / "params.yaml").read_bytes()
    change(tidy / "params.yaml", {"graph.heads": 2})
    assert outdated(tidy, dvc) & {"parse@sst", "graphs@sst", TRAINING} == {TRAINING}
    (tidy / "params.yaml").write_bytes(kept)
    change(tidy / "params.yaml", {"graphs.edges": ["dependency"]})
    assert outdated(tidy, dvc) & {"parse@sst", "graphs@sst"} == {"graphs@sst"}
    (tidy / "params.yaml").write_bytes(kept)
    and_back(tidy, dvc)


def test_another_seed_is_not_read(tidy, dvc):
    """DVC leaves the outputs of a seed that is no longer listed; evaluate must not take them."""
    left = tidy / "models/sst/seed-2"
    shutil.copytree(tidy / "models/sst/seed-1", left)
    (left / "run.json").write_text("not a card", encoding="utf-8")
    assert "evaluate@sst" in ran(dvc(tidy, "repro", "evaluate@sst").stdout)
    assert set(pd.read_csv(tidy / "reports/sst/scores.tsv", sep="\t")["seed"]) == {1}
    assert json.loads((tidy / "reports/sst/card.json").read_text())["seeds"] == [1]
    shutil.rmtree(left)


def test_plots_show_the_curves(tidy, dvc):
    dvc(tidy, "plots", "show")
    page = (tidy / "dvc_plots/index.html").read_text(encoding="utf-8")
    assert "history.csv" in page
    assert '"field": "epoch"' in page
    assert '"field": "selection_loss"' in page
    for title in ("sst, loss", "sst, choice of the epoch"):
        assert f'"text": "{title}"' in page


def test_an_experiment_in_a_copy_imports_its_own_code(tidy, dvc):
    """Queued and temporary experiments run in a copy of the project, which has no environment of its own."""
    source = tidy / "src/knotwork/corpora/manifest.py"
    code = source.read_text(encoding="utf-8")
    assert '"manifest": manifest.name' in code
    source.write_text(code.replace('"manifest": manifest.name', '"manifest": __file__'), encoding="utf-8")
    dvc(tidy, "exp", "run", "--temp", "--name", "elsewhere", "identify")
    dvc(tidy, "exp", "apply", "elsewhere")
    place = json.loads((tidy / "data/identity/corpus.json").read_text(encoding="utf-8"))["manifest"]
    assert place.startswith(f"{tidy}/.dvc/tmp/exps/")


def test_stages_run_finds_the_environment_further_up(tmp_path, execute):
    """The nearest .venv above the copy, and the copy's own src."""
    copy = copy_project(tmp_path / "project/.dvc/tmp/exps/copy")
    (copy / ".venv").rename(tmp_path / "project/.venv")
    probe = "import sys, knotwork; print(knotwork.__file__, sys.prefix)"
    (copy / "stages/probe.py").write_text(probe, encoding="utf-8")
    expected = f"{copy}/src/knotwork/__init__.py {tmp_path}/project/.venv\n"
    assert execute(tmp_path, str(copy / "stages/run"), str(copy / "stages/probe.py")).stdout == expected
    # Behind a launcher too.
    assert execute(copy, "stages/run", "env", "python", "stages/probe.py").stdout == expected


def test_from_an_archive_without_git(tmp_path, execute):
    folder = copy_project(tmp_path / "archive")
    make = ["make", "--no-print-directory", "--assume-old=pyproject.toml", "--assume-old=.venv/installed"]
    # What make would install is there; its `dvc repro` shall stop after the download.
    makefile = (folder / "Makefile").read_text(encoding="utf-8")
    (folder / "Makefile").write_text(makefile.replace("/dvc repro", "/dvc repro download@sst"), encoding="utf-8")
    (folder / ".venv").unlink()
    (folder / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (folder / ".venv" / name).symlink_to(Path(sys.prefix, name))
    (folder / ".venv/installed").touch()
    alone = {"GIT_CEILING_DIRECTORIES": str(tmp_path)}
    assert ran(execute(folder, *make, "repro", **alone).stdout) == ["identify", "download@sst"]
    assert (folder / "data/raw/sst/train.csv").is_file()
    assert ran(execute(folder, *make, "repro", **alone).stdout) == ["identify"]
    done = execute(folder, *make, "local", status=2, **alone)
    # Below another make, as in `make test`, it calls itself make[1].
    lines = [line for line in (done.stdout + done.stderr).splitlines() if not re.match(r"make(\[\d+\])?: ", line)]
    assert lines == ["error: experiments need git and a commit; run make repro"]
    # A repository made of it later is used.
    commit(folder)
    assert ran(execute(folder, *make, "repro", **alone).stdout) == ["identify"]
    config = (folder / ".dvc/config.local").read_text(encoding="utf-8")
    assert config.split() == ["[core]", "no_scm", "=", "false"]


def test_wrong_parameter_stops_before_any_work(tidy, dvc):
    values = yaml.safe_load((tidy / "params.yaml").read_text())
    values["train"]["epoch"] = 3
    (tidy / "params.yaml").write_text(yaml.safe_dump(values))
    done = dvc(tidy, "repro", status=255)
    assert ran(done.stdout) == ["identify"]
    assert "error: params.yaml: train.epoch: unknown key; did you mean 'train.epochs'?" in done.stderr
