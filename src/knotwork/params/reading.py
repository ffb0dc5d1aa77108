"""Read and check params.yaml; what is wrong with it comes as one line."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from knotwork.errors import UserError
from knotwork.params.groups import Params

MERGE = "tag:yaml.org,2002:merge"


class UniqueKeys(yaml.CSafeLoader):
    """YAML in which a key that stands twice is an error, not a silent override."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping, its keys checked first; those that are merged in may be overridden."""
        written = (key for key, _ in node.value if key.tag != MERGE)
        keys = [self.construct_object(key, deep=deep) for key in written]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check a parameter file.

    Raises:
        UserError: the file is missing or not YAML; an unknown key, a wrong type or a value out of range.
    """
    return validate(read_yaml(path), str(path))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of the project that holds a mapping; a key that stands twice is an error.

    Raises:
        UserError: the file is missing, not YAML, or empty.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=UniqueKeys)
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; run from the folder that holds {path.name}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds no parameters; restore it with `git checkout {path}`")
    return values


def validate(values: dict[str, Any], origin: str) -> Params:
    """Check parameters; ``origin`` says in errors where they come from.

    Raises:
        UserError: an unknown key, a wrong type or a value out of range.
    """
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{origin}: {_explain(error.errors()[0])}") from error


def _explain(problem: dict[str, Any]) -> str:
    """One line for the first problem that pydantic found."""
    if problem["type"] == "extra_forbidden":
        near = _similar_key(problem["loc"])
        return f"{_dotted(problem['loc'])}: unknown key" + (f"; did you mean {near!r}?" if near else "; remove it")
    # Members of a union carry the type they were tried as; only the keys and indices belong to the path.
    names = {key.rsplit(".", 1)[-1] for key in _all_keys(Params)}
    key = _dotted([part for part in problem["loc"] if isinstance(part, int) or part in names])
    if problem["type"] == "missing":
        return f"{key}: missing; add it (see the committed params.yaml)"
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    reason = f"{problem['msg'][0].lower()}{problem['msg'][1:]}"
    if key == "train.selection":
        reason = "it should be a number between 0 and 1, or dev"
    hint = ""
    if problem["type"] == "literal_error" and isinstance(problem["input"], str):
        near = difflib.get_close_matches(problem["input"], problem["ctx"]["expected"].replace("'", " ").split())
        hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{key}: {problem['input']!r} is not allowed ({reason}){hint}"


def _dotted(place: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in place)


def _similar_key(place: Sequence[str | int]) -> str | None:
    """The known key most like an unknown one: of its own group, otherwise of any."""
    *groups, unknown = place
    group = Params
    for name in groups:
        group = group.model_fields[name].annotation
    keys = {key.rsplit(".", 1)[-1]: key for key in reversed(_all_keys(Params))}  # of equal names the first
    own = {name: _dotted([*groups, name]) for name in group.model_fields}
    for known, cutoff in ((own, 0.5), (keys, 0.7), (own, 0.4)):
        if near := difflib.get_close_matches(str(unknown), known, n=1, cutoff=cutoff):
            return known[near[0]]
    return None


def _all_keys(group: type[BaseModel], above: str = "") -> list[str]:
    """Every key of a group and of the groups in it, dotted."""
    keys = []
    for name, field in group.model_fields.items():
        keys.append(above + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys.extend(_all_keys(field.annotation, f"{above}{name}."))
    return keys
