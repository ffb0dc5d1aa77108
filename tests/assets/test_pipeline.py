"""assets/dvc.yaml names the code that its stages run."""

import ast
from pathlib import Path

import pytest
import yaml

ASSETS = Path(__file__).parents[2] / "assets"
STAGES = yaml.safe_load((ASSETS / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def imported(name: str) -> set[str]:
    """The scripts of the folder that one of them imports, directly or not, and itself."""
    found, new = set(), {name}
    while new:
        found |= new
        trees = [ast.parse((ASSETS / one).read_text(encoding="utf-8")) for one in new]
        nodes = [node for tree in trees for node in ast.walk(tree)]
        names = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        new = {f"{one}.py" for one in names if (ASSETS / f"{one}.py").is_file()} - found
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_code_deps_are_the_imports(stage):
    scripts = [command.split()[1] for command in STAGES[stage]["cmd"]]
    assert {dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")} == set().union(*map(imported, scripts))
