"""dvc.yaml names exactly the code that a stage imports and exactly the parameters that decide its result."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from knotwork.members import member_settings
from knotwork.params import ADAPTERS, MEMBERS, MULTITASK, TASKS, Params, load_params
from knotwork.training.run import decisive

REPOSITORY = Path(__file__).parents[2]
STAGES = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
TRACKED = [name for name in STAGES if "always_changed" not in STAGES[name]]

# What an import with a name made at run time loads: the file of the task, the folder of the adapter.
DYNAMIC = {
    "knotwork.tasks.": "src/knotwork/tasks/{task}.py",
    "knotwork.adapters.": "src/knotwork/adapters/{adapter}/",
}
# Told by the hashes of data/identity/, which every stage that needs them depends on.
IDENTIFIED = {"corpus.manifest", "corpus.mirror", "base.path", "base.revision", "graphs.parser"}
# Told by data/identity/tasks/multitask/.
MEMBERS_OWN = ("multitask.members", "multitask.temperature", "multitask.loss_weights.")
# Decides when a checkpoint is written, and no weight.
CADENCE = {"train.checkpoint_steps"}


def code_of(names: list[str]) -> set[str]:
    """The files that modules and packages are made of; importing a.b.c runs a/__init__ and a/b/__init__ too."""
    files = set()
    for name in names:
        parts = name.split(".")
        for end in range(2, len(parts) + 1):  # knotwork/__init__ enters our methods into PEFT and decides no figure
            place = Path("src", *parts[:end])
            files |= {str(path) for path in (place / "__init__.py", place.with_suffix(".py")) if exists(path)}
    return files


def exists(path: Path | str) -> bool:
    return (REPOSITORY / path).exists()


def imported(path: str, task: str, adapter: str) -> set[str]:
    """The project's files that a file imports, anywhere in it."""
    files = set()
    for node in ast.walk(ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            files |= code_of([alias.name for alias in node.names if alias.name.startswith("knotwork.")])
        elif isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("knotwork."):
            files |= code_of([f"{node.module}.{alias.name}" for alias in node.names])
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "import_module":
            if path == "src/knotwork/__init__.py":
                continue
            prefix = node.args[0].values[0].value
            place = DYNAMIC[prefix].format(task=task, adapter=adapter)
            files |= under(place) if place.endswith("/") else {place}
    return files


def under(folder: str) -> set[str]:
    return {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / folder).rglob("*.py")}


def closure(path: str, task: str, adapter: str, without: frozenset[str] = frozenset()) -> set[str]:
    """A file and all that it imports, directly or not, and not only by way of files ``without``."""
    found, new = set(), {path}
    while new:
        found |= new
        new = {file for path in new for file in imported(path, task, adapter)} - found - without
    return found


def filled(value: str, task: str, adapter: str) -> str:
    return value.replace("${item.task}", task).replace("${adapter}", adapter)


def code_deps(stage: str, task: str, adapter: str) -> list[str]:
    deps = [filled(dep, task, adapter) for dep in STAGES[stage]["deps"]]
    return [dep for dep in deps if dep.startswith(("src/", "stages/"))]


def script(stage: str) -> str:
    return re.search(r"stages/\w+\.py", STAGES[stage]["cmd"]).group()


def leaves(values: dict, above: str = "") -> set[str]:
    found = set()
    for key, value in values.items():
        found |= leaves(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}"}
    return found


def read_by(stage: str, task: str, adapter: str) -> set[str]:
    """The parameters that a stage lists, each leaf by name."""
    listed = [filled(entry, task, adapter) for entry in STAGES[stage].get("params", [])]
    return {leaf for leaf in PARAMETERS for entry in listed if f"{leaf}.".startswith(f"{entry}.")}


def with_all_members() -> Params:
    """The committed parameters, multitask made of whatever it can be made of."""
    params = load_params(REPOSITORY / "params.yaml")
    return params.model_copy(update={"multitask": params.multitask.model_copy(update={"members": list(MEMBERS)})})


PARAMETERS = leaves(yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("stage", TRACKED)
def test_code_deps_are_the_imports(stage, task, adapter):
    deps = code_deps(stage, task, adapter)
    assert all(exists(dep) for dep in deps)
    covered = {file for dep in deps for file in (under(dep) if dep.endswith("/") else {dep})}
    # Packed graphs carry the hash of the code that makes and reads them.
    told = "data/graphs/${item.task}" in STAGES[stage]["deps"] and adapter == "graph"
    without = under("src/knotwork/graphs/") - covered if told else ()
    needed = closure(script(stage), task, adapter, frozenset(without))
    assert sorted(needed - covered) == [], "imported, but no dep"


@pytest.mark.parametrize("stage", TRACKED)
def test_no_dep_is_idle(stage):
    """Each is imported for some task and adapter."""
    for task in TASKS:
        needed = {file for adapter in ADAPTERS for file in closure(script(stage), task, adapter)}
        deps = {dep for adapter in ADAPTERS for dep in code_deps(stage, task, adapter)}
        assert sorted(dep for dep in deps if not any(file.startswith(dep) for file in needed)) == []


def test_the_closure_follows_imports():
    """The reader of imports finds what it is made to find: direct, through a package, in a function, by name."""
    files = closure("stages/train.py", "quora", "lora")
    assert {"src/knotwork/params/groups.py", "src/knotwork/corpora/__init__.py"} <= files
    assert {"src/knotwork/tasks/quora.py", "src/knotwork/adapters/lora/__init__.py"} <= files
    assert not {"src/knotwork/tasks/sst.py", "src/knotwork/adapters/full/__init__.py"} & files
    assert "src/knotwork/runs.py" in closure("src/knotwork/cli.py", "sst", "lora")


@pytest.mark.parametrize("stage", ["identify", "download", "parse", "graphs", "report", "baseline"])
def test_quick_stages_import_no_torch(stage):
    """What makes a process slow to start stays out of the stages that do not need it."""
    for path in closure(script(stage), "sst", "lora"):
        if path.startswith("src/knotwork/adapters/lora"):
            continue
        tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
        typing_only = [
            node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node)
        ]
        for node in set(ast.walk(tree)) - {child for block in typing_only for child in ast.walk(block)}:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"torch", "transformers", "peft"}, path


def test_every_stage_has_its_script():
    assert sorted(script(stage) for stage in STAGES) == sorted(
        str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "stages").glob("*.py")
    )


def test_every_parameter_is_read():
    text = (REPOSITORY / "dvc.yaml").read_text(encoding="utf-8")
    interpolated = set(re.findall(r"\$\{([\w.]+)\}", text))
    listed = {
        leaf for stage in STAGES for task in TASKS for adapter in ADAPTERS for leaf in read_by(stage, task, adapter)
    }
    unread = PARAMETERS - listed - interpolated - IDENTIFIED - CADENCE
    assert sorted(key for key in unread if not key.startswith(MEMBERS_OWN)) == []


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("task", TASKS)
def test_training_depends_on_what_decides_it(task, adapter):
    """No more, or an edit trains too much; no less, or a stale model stays."""
    params = with_all_members().model_copy(update={"adapter": adapter})
    decided = set(decisive(params, task, 1, {"sha256": ""}, {}, {})) & PARAMETERS
    # The card also says which manifest the files came from.
    assert read_by("train", task, adapter) | told(params, "train", task) == decided | {"corpus.manifest"}


def told(params, stage, task):
    """The parameters in the files about a task's members that a stage depends on."""
    place = f"data/identity/tasks/{task}/"
    files = {filled(dep, task, "").removeprefix(place) for dep in STAGES[stage]["deps"]}
    settings = member_settings(params, task)
    return {key for name in settings if f"{name}.json" in files for key in settings[name]} - {"code"}


@pytest.mark.parametrize("stage", [stage for stage in TRACKED if "tasks/${item.task}" in str(STAGES[stage])])
def test_members_reach_every_stage_that_reads_them(stage):
    """What a single task's stage depends on of its own, multitask's depends on of every member."""
    params = with_all_members()
    files = {Path(filled(dep, MULTITASK, "")).name for dep in STAGES[stage]["deps"]}
    reads_rows = "src/knotwork/tasks/${item.task}.py" in STAGES[stage]["deps"]
    assert ("rows.json" in files) == reads_rows
    of_member = {key for key in read_by(stage, "sst", "lora") if key.endswith(".sst")}
    own = {f"{group}.multitask" for group in ("train.epochs",)}
    missing = of_member - told(params, stage, MULTITASK) - {key.replace("multitask", "sst") for key in own}
    assert not missing


def test_a_members_prompt_and_limit_are_told():
    params = with_all_members()
    settings = member_settings(params, MULTITASK)["rows"]
    assert settings["code"].keys() == set(params.multitask.members)
    assert {f"corpus.max_rows.{name}" for name in params.multitask.members} <= settings.keys()
    assert {key for key in PARAMETERS if key.startswith("symbolic.")} <= settings.keys()
    # Nothing of a single task, whose own settings stand in dvc.yaml, but how its formulas are made.
    assert not any(member_settings(params, "sst").values())
    assert member_settings(params, "symbolic")["rows"].keys() == {
        k for k in PARAMETERS if k.startswith("symbolic.")
    }
