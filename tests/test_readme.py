"""What README.md names exists and works: commands, files, parameters, snippets, and the example of own data."""

import ast
import json
import re
import shlex
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.cli.parser import get_main_parser
from peft import PeftModel

from knotwork import cli
from knotwork.corpora.manifest import load
from knotwork.corpora.read import read_table
from knotwork.params import ADAPTERS, Params
from knotwork.runs import Prediction, Run
from knotwork.study.declaration import load_study
from knotwork.tasks import get
from knotwork.tasks.task import Classification

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
FENCED = re.compile(r"(?:<!-- ([\w-]+) -->\n)?```(\w+)\n(.*?)```", re.DOTALL)
BLOCKS = [match.groups() for match in FENCED.finditer(README)]
TEXT = FENCED.sub("", README)
SPANS = re.findall(r"`([^`\n]+)`", TEXT)
SHELL = [
    shlex.split(line, comments=True)
    for _, language, block in BLOCKS
    if language == "sh"
    for line in block.splitlines()
    if line
]


def block(mark: str) -> str:
    """The fenced block under a comment that names it."""
    [found] = [text for name, _, text in BLOCKS if name == mark]
    return found


def committed() -> dict[str, Any]:
    return yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))


def change(values: dict[str, Any], setting: str) -> None:
    """Apply ``key=value`` to the parameters, as ``-S`` does; the key must be there."""
    key, value = setting.split("=", 1)
    *groups, name = key.split(".")
    for group in groups:
        values = values[group]
    assert name in values, f"params.yaml has no {key}"
    values[name] = yaml.safe_load(value)


def settings(words: list[str]) -> list[str]:
    """The settings of a command; of ``key=a,b``, a grid of DVC's queue, one for each value."""
    found = [value.split("=", 1) for flag, value in pairwise(words) if flag == "-S"]
    return [f"{key}={each}" for key, value in found for each in ([value] if "[" in value else value.split(","))]


RECIPES = sorted(path.name for path in (REPOSITORY / "recipes").iterdir())


def test_make_targets_exist() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = {*re.findall(r"^([a-z-]+):", makefile, re.MULTILINE), *RECIPES}
    assert "\nsweep-%:" in makefile
    targets |= {f"sweep-{name}" for name in load_study(REPOSITORY / "studies.yaml").sweeps}
    commands = [*SHELL, *(span.split() for span in SPANS)]
    named = {words[1] for words in commands if words[0] == "make"}
    assert {"repro", "test", "lint", "clean", "local", "paper", "study", "sweep-lora"} <= named
    assert named <= targets


def test_all_recipes_are_in_the_table() -> None:
    assert re.findall(r"^\| `([\w-]+)` \| (?:embedded|GPT-2)", README, re.MULTILINE) == RECIPES


def test_dvc_commands_are_known_to_dvc() -> None:
    commands = [words for words in SHELL if words[0].endswith("/dvc")]
    assert ["exp", "run", "-S", "adapter=full"] in [words[1:] for words in commands]
    spans = [shlex.split(span) for span in SPANS if re.match(r"dvc \w+ \w+$", span)]
    for words in [*commands, *spans]:
        get_main_parser().parse_args(words[1:])


@pytest.mark.parametrize("words", [words for words in SHELL if settings(words)], ids=" ".join)
def test_settings_in_commands_are_accepted(words: list[str]) -> None:
    values = committed()
    for setting in settings(words):
        change(values, setting)
    Params.model_validate(values)


def test_settings_in_the_text_are_accepted() -> None:
    named = re.findall(r"-S \"?([\w.]+=[\w\[\],.]+)", TEXT)
    assert "adapter=lora" in named
    for setting in named:
        values = committed()
        change(values, setting)
        Params.model_validate(values)


def test_table_of_adapters_is_complete() -> None:
    table = README[README.index("| --- | --- |\n| `head`") : README.index("## Start")]
    assert tuple(re.findall(r"^\| `(\w+)` \| ", table, re.MULTILINE)) == ADAPTERS


def test_parameter_keys_exist() -> None:
    values = committed()
    keys = [span for span in SPANS if re.fullmatch(r"[a-z]+(\.[a-z_0-9]+)+", span) and span.split(".")[0] in values]
    assert "train.selection" in keys
    for key in keys:
        if not (REPOSITORY / key).exists():  # params.yaml is a file, and no group
            place: Any = values
            for part in key.split("."):
                assert part in place, f"params.yaml has no {key}"
                place = place[part]


def test_knotwork_commands_are_accepted() -> None:
    commands = [words for words in SHELL if words[0].endswith("/knotwork")]
    assert {words[1] for words in commands} == {"predict", "generate", "inspect", "compare"}
    for words in commands:
        cli._parser().parse_args(words[1:])


def test_layout_exists() -> None:
    lines = [line for line in block("layout").splitlines() if line]
    folder = Path()
    for line in lines:
        name = line.split()[0]
        path = folder / name if line.startswith(" ") else Path(name)
        assert (REPOSITORY / path).is_dir() if name.endswith("/") else (REPOSITORY / path).is_file(), path
        folder = folder if line.startswith(" ") else path


def test_layout_names_everything_in_the_package() -> None:
    package = REPOSITORY / "src/knotwork"
    there = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    there |= {path.name for path in package.glob("*.py") if path.name != "__init__.py"}
    assert there == set(re.findall(r"^  ([\w.]+/?) ", block("layout"), re.MULTILINE))


def test_links_to_files_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", TEXT) if not link.startswith("http")]
    assert "LICENSE" in links
    for link in links:
        assert (REPOSITORY / link).is_file(), link


def test_files_of_a_report_are_those_of_the_pipeline() -> None:
    pipeline = (REPOSITORY / "dvc.yaml").read_text(encoding="utf-8")
    [listed] = re.findall(r"`reports/<task>/` \((.*?)\)", README)
    names = re.findall(r"`([\w.]+)/?`", listed)
    assert len(names) == len(set(re.findall(r"reports/\$\{item\.task\}/([\w.]+)", pipeline)))
    for name in names:
        assert f"reports/${{item.task}}/{name}" in pipeline


@pytest.mark.parametrize("source", [text for _, language, text in BLOCKS if language == "python"])
def test_python_snippets_use_what_exists(source: str) -> None:
    tree = ast.parse(source)
    members = {"run": {*dir(Run), "tokenizer"}, "prediction": set(Prediction._fields)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = import_module(node.module)
            assert all(hasattr(module, name.name) for name in node.names)
        elif isinstance(node, ast.Import):
            assert all(import_module(name.name) for name in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in members:
            assert node.attr in members[node.value.id]


def test_own_manifest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "corpus.yaml"
    path.write_text(block("own-manifest"), encoding="utf-8")
    files = load(str(path)).files("cfimdb")
    assert list(files) == ["train", "dev", "test"]
    task = get("cfimdb")
    table = tmp_path / files["train"].path
    table.write_text(block("own-table"), encoding="utf-8")
    rows = read_table(table, task.text_columns, task.label_column, len(task.classes)).rows
    assert [row.label for row in rows] == [1, 0]
    assert rows[1].texts == ('He said "never again", and so do I.',)


def test_table_of_columns_is_that_of_the_tasks() -> None:
    for name in ("sst", "cfimdb", "quora"):
        task = get(name)
        assert isinstance(task, Classification)
        [row] = [line for line in README.splitlines() if line.startswith(f"| `{name}` |")]
        _, _, texts, label, labels, _ = (cell.strip() for cell in row.split("|"))
        assert tuple(re.findall(r"`(\w+)`", texts)) == task.text_columns
        assert label == f"`{task.label_column}`"
        assert labels == ("0, 1" if len(task.classes) == 2 else f"0 to {len(task.classes) - 1}")


def test_size_of_the_embedded_base_is_true() -> None:
    card = json.loads((REPOSITORY / "assets/base/card.json").read_text(encoding="utf-8"))
    assert f"{card['parameters'] / 1e6:.1f} million parameters" in README
    assert f"{card['tokens_seen'] / 1e6:.1f} million tokens" in README


@pytest.mark.parametrize(
    "source", [text for _, language, text in BLOCKS if language == "python" and "get_peft_model" in text]
)
def test_snippets_on_the_embedded_base_run(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    names: dict[str, Any] = {}
    exec(source, names)
    [adapted] = [value for value in names.values() if isinstance(value, PeftModel)]
    assert any(parameter.requires_grad for parameter in adapted.parameters())
