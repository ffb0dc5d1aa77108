"""The knotwork command, called as its console script calls it."""

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from knotwork import cli
from knotwork.files import read_json, write_json
from knotwork.graphs.docs import parse_task
from knotwork.graphs.make import pack_task
from knotwork.graphs.pack import open_graphs
from knotwork.runs import load_run
from knotwork.training.run import train_run

REPOSITORY = Path(__file__).parents[1]
TEXTS = ["A warm, quiet film.", "Not one joke lands."]


@pytest.fixture(scope="module")
def project(data, parameters, tmp_path_factory):
    """A folder with a run of sst (seeds 1 and 2), of quora and of sonnet below models/."""
    home = tmp_path_factory.mktemp("cli")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for task, seeds in {"sst": (1, 2), "quora": (1,), "sonnet": (1,)}.items():
            for seed in seeds:
                params = parameters({f"train.epochs.{task}": 1})
                place = home / "models" / task / f"seed-{seed}"
                train_run(params, task, seed, data, place)
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    text = text.replace("assets/base ", f"{REPOSITORY}/assets/base-tiny ")
    text = text.replace("assets/parser", f"{REPOSITORY}/assets/parser")
    (home / "params.yaml").write_text(text, encoding="utf-8")
    return home


@pytest.fixture
def knotwork(project, monkeypatch, capsys):
    """A function that runs the command in the project and gives its output, or its one line of error."""
    monkeypatch.chdir(project)

    def work(*arguments, stdin="", status=0):
        monkeypatch.setattr(sys, "argv", ["knotwork", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as end:
            cli.main()
        output = capsys.readouterr()
        assert end.value.code == status, output.err
        if not status:
            return output.out
        errors = output.err.splitlines()
        assert len(errors) == 1
        assert errors[0].startswith("error: ")
        assert output.out == ""
        return errors[0]

    return work


def test_predict(knotwork, project):
    lines = knotwork("predict", "models/sst", *TEXTS).splitlines()
    for line, text, prediction in zip(lines, TEXTS, load_run(project / "models/sst").predict(TEXTS), strict=True):
        share = f"{max(prediction.probabilities):.3f}"
        assert line.split("\t") == [str(prediction.label), prediction.name, share, text]


def test_predict_from_a_file_and_standard_input(knotwork, tmp_path):
    wanted = knotwork("predict", "models/sst", *TEXTS)
    text = f"{TEXTS[0]}\n\n{TEXTS[1]}\n"
    (tmp_path / "texts.txt").write_text(text, encoding="utf-8")
    assert knotwork("predict", "models/sst", "--file", str(tmp_path / "texts.txt")) == wanted
    assert knotwork("predict", "models/sst", "--file", "-", stdin=text) == wanted
    assert knotwork("predict", "models/sst", stdin=text) == wanted


def test_predict_takes_a_line_of_the_file_for_a_text(knotwork, tmp_path):
    """Characters that only some call line ends separate no texts; a byte order mark belongs to none."""
    (tmp_path / "texts.txt").write_bytes("\ufeffOne\u2028text\x85of three.\r\nAnother.\r\n".encode())
    output = knotwork("predict", "models/sst", "--file", str(tmp_path / "texts.txt"))
    assert [line.split("\t")[3] for line in output.removesuffix("\n").split("\n")] == [
        "One\u2028text\x85of three.",
        "Another.",
    ]


def test_predict_with_a_seed(knotwork):
    first, second = (knotwork("predict", "models/sst", "--seed", seed, *TEXTS) for seed in "12")
    assert first == knotwork("predict", "models/sst", *TEXTS)
    assert first != second
    assert second == knotwork("predict", "models/sst/seed-2", *TEXTS)


def test_predict_pairs(knotwork):
    line = knotwork("predict", "models/quora", "How old is it?\tWhat is its age?")
    assert line.split("\t")[1] in ("different", "same")
    error = knotwork("predict", "models/quora", "How old is it?", status=2)
    assert error == "error: text 1: quora takes 2 text(s), got 1"


def test_generate(knotwork, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("One line\nand another\n\n\nA second opening\n", encoding="utf-8")
    command = ["generate", "models/sonnet", "--max-new-tokens", "12", "--prompt-file"]
    output = knotwork(*command, str(prompts))
    blocks = output.rstrip("\n").split("\n\n")
    assert blocks[0].startswith("One line\nand another\n")
    assert blocks[1].startswith("A second opening\n")
    assert len(blocks) == 2
    assert knotwork(*command, "-", stdin=prompts.read_text()) == output
    assert knotwork(*command, str(prompts), "--sample", "1") != output
    assert knotwork(*command, str(prompts), "--temperature", "0.1") != output


def test_inspect(knotwork):
    base = knotwork("inspect", "base")
    assert "model.safetensors" in base
    assert "n_embd" in base
    parser = knotwork("inspect", "parser")
    assert "sha256" in parser
    run = knotwork("inspect", "run", "models/sst", "--seed", "2")
    assert "training.best_epoch" in run
    assert "lora.target_modules" in run


@pytest.fixture(scope="module")
def graphs(project, data, parameters):
    """Packed graphs of sst in the project."""
    params = parameters({"adapter": "graph", "graphs.parser": str(REPOSITORY / "assets/parser")})
    folder = project / "data/graphs/sst"
    (member,) = params.members("sst")
    parse_task(params, member, data / "raw/sst", project / "data/parses/sst")
    pack_task(params, member, data / "raw/sst", project / "data/parses/sst", folder)
    return folder


def test_inspect_graph(knotwork, graphs, tmp_path):
    output = knotwork("inspect", "graph", "data/graphs/sst", "--row", "3", "--svg", str(tmp_path / "row.svg"))
    figures = dict(re.findall(r"^(\S+)  +(.*)$", output, re.MULTILINE))
    graph = open_graphs(graphs / "train.graph").graph(3)
    assert int(figures["tokens"]) == graph.tokens
    assert int(figures["edges.all"]) == len(graph.sources)
    assert {"edges.head", "components", "diameter", "degree.mean", "summary.examples", "control"} <= set(figures)
    assert "Overall, this movie is" in output
    drawing = ElementTree.parse(tmp_path / "row.svg")
    assert "movie" in [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    dev = knotwork("inspect", "graph", "data/graphs/sst", "--split", "dev")
    assert re.search(r"^summary.examples +12$", dev, re.MULTILINE)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "inspect graph: name the graphs' folder"),
        (
            ["data/graphs/sst", "--row", "48"],
            "no row 48; data/graphs/sst/train.graph has rows 0 to 47",
        ),
        (["data/graphs/sst", "--row", "-1"], "inspect graph: no row -1"),
        (["data/graphs/none"], "data/graphs/none/train.graph: no graphs there; run `dvc repro`"),
        (["data/graphs/sst", "--svg", "data"], "data: cannot be written"),
    ],
)
def test_inspect_graph_errors(knotwork, graphs, arguments, message):
    assert message in knotwork("inspect", "graph", *arguments, status=2)


@pytest.fixture(scope="module")
def splines(project, data, parameters):
    """A run of kan in the project, and the rows it is looked at on."""
    params = parameters({"adapter": "kan", "train.epochs.sst": 1})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        train_run(params, "sst", 1, data, project / "models/kan/seed-1")
    shutil.copytree(data / "raw/sst", project / "data/raw/sst", dirs_exist_ok=True)


def test_inspect_kan(knotwork, splines, tmp_path):
    output = knotwork("inspect", "kan", "models/kan", "--svg", str(tmp_path / "pictures"))
    functions, strength, pruning = output.strip().split("\n\n")
    blocks = load_run("models/kan").model.config.n_layer
    assert len(functions.splitlines()) == 2 + 3 * 2 * blocks
    assert re.search(r"^ +0 +c_proj( +\d+){2} ", functions, re.MULTILINE)
    assert len(strength.splitlines()) == 2 + 2 * blocks
    assert re.search(r"^ +0 +0\.\d+$", pruning, re.MULTILINE)
    names = {f"block-{block}.svg" for block in range(blocks)} | {"strength.svg", "pruning.svg"}
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == names
    for name in names:
        ElementTree.parse(tmp_path / "pictures" / name)


def test_inspect_kan_reads_a_chosen_function(knotwork, splines, tmp_path):
    pictures = tmp_path / "pictures"
    output = knotwork("inspect", "kan", "models/kan", "--function", "1", "c_proj", "2", "--svg", str(pictures))
    title, _, function = output.split("\n\n")[0].splitlines()
    assert title == "The function"
    assert function.split()[:3] == ["1", "c_proj", "2"]
    assert {path.name for path in pictures.iterdir()} == {"block-1.svg", "strength.svg", "pruning.svg"}


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "inspect kan: name the run's folder"),
        (["models/kan", "--function", "0", "c_fc", "-1"], "--function: '-1' is not a whole number"),
        (["models/kan", "--function", "9", "c_fc", "0"], "--function: no splines in block 9, c_fc"),
        (["models/sst"], "models/sst: a run of lora; only those of kan have splines"),
        (["models/none"], "models/none: no trained run there"),
        (["models/kan", "--svg", "params.yaml"], "params.yaml"),
    ],
)
def test_inspect_kan_errors(knotwork, splines, arguments, message):
    assert message in knotwork("inspect", "kan", *arguments, status=2)


def test_inspect_needs_no_torch(project):
    """What only reads cards starts quickly."""
    code = (
        "import sys; sys.argv = ['knotwork', 'inspect', 'base']\n"
        "from knotwork.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=project, check=True, capture_output=True)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["predict", "models/none", "A"], "models/none: no trained run there"),
        (["predict", "models/sst", "--seed", "9", "A"], "no run with seed 9; there are 1, 2"),
        (["predict", "models/sst", " "], "text 1: empty"),
        (["predict", "models/sst"], "predict: no text given"),
        (["predict", "models/sst", "A", "--file", "B"], "give texts or --file, not both"),
        (["predict", "models/sst", "--file", "gone.txt"], "gone.txt: cannot be read (No such file"),
        (["predict", "models/sst", "--file", "models"], "models: cannot be read (Is a directory)"),
        (["predict", "models/sst", "--file", "latin.txt"], "latin.txt: not UTF-8 (byte 3)"),
        (["predict", "models/sonnet", "A"], "sonnet: has no classes to predict; use generate"),
        (["generate", "models/sst", "--prompt-file", "prompt.txt"], "this run classifies"),
        (["generate", "models/sonnet", "--prompt-file", "empty.txt"], "empty.txt: empty"),
        (["generate", "models/sonnet", "--prompt-file", "long.txt"], "tokens leave no room in the context"),
        (["generate", "models/sonnet", "--prompt-file", "prompt.txt", "--top-p", "2"], "generate: top_p"),
        (["generate", "models/sonnet", "--prompt-file", "prompt.txt", "--sample", "-1"], "generate: seed"),
        (["inspect", "run"], "inspect run: name the run's folder"),
        (["inspect", "run", "models/none"], "models/none: no trained run there"),
    ],
)
def test_errors(knotwork, project, arguments, message):
    (project / "latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    (project / "prompt.txt").write_text("One line\n")
    (project / "empty.txt").write_text("\n \n")
    (project / "long.txt").write_text("word " * 600)
    assert message in knotwork(*arguments, status=2)


def test_a_base_that_has_changed(knotwork, project):
    file = project / "models/other/seed-1/run.json"
    shutil.copytree(project / "models/sst/seed-1", file.parent, dirs_exist_ok=True)
    card = read_json(file)
    write_json(file, card | {"base": card["base"] | {"sha256": "0" * 64}})
    assert "trained on a base with hash 000000000000" in knotwork("predict", "models/other", "A", status=2)


def test_inspect_outside_a_project(knotwork, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "params.yaml: not found" in knotwork("inspect", "base", status=2)


def test_inspect_a_broken_card(knotwork, project):
    folder = project / "models/broken/seed-1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps([1]))
    assert "run.json" in knotwork("inspect", "run", "models/broken", status=2)
