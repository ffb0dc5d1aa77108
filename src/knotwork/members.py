"""What multitask takes from its members, told by files: dvc.yaml can name no other task's code and settings.

Of a single task there is nothing to tell, so its files never change, unless its rows are made here.
"""

from pathlib import Path
from typing import Any

from knotwork import tasks
from knotwork.files import sha256
from knotwork.params import GENERATED, MULTITASK, Params


def member_settings(params: Params, task: str) -> dict[str, dict[str, Any]]:
    """What decides a task besides its own settings, by dotted parameter name (``code``: hashes of modules).

    Returns:
        By the file that tells it: ``members``, which they are; ``rows``, their texts and prompts; ``mixture``, how
        they are trained together.
    """
    names = [member.task for member in params.members(task)]
    made = _making(params) if set(names) & set(GENERATED) else {}
    if task != MULTITASK:
        return {"members": {}, "rows": made, "mixture": {}}
    code = Path(tasks.__file__).parent
    return {
        "members": {"multitask.members": names},
        "rows": {
            "multitask.members": names,
            "code": {name: sha256(code / f"{name}.py") for name in names},
            **{f"corpus.max_rows.{name}": getattr(params.corpus.max_rows, name) for name in names},
            **made,
        },
        "mixture": {
            "multitask.temperature": params.multitask.temperature,
            **{f"multitask.loss_weights.{name}": getattr(params.multitask.loss_weights, name) for name in names},
            **{f"answer.{name}": getattr(params.answer, name) for name in names},
        },
    }


def _making(params: Params) -> dict[str, Any]:
    """How formulas are made."""
    settings = params.symbolic.model_dump()
    settings |= {f"rows.{split}": count for split, count in settings.pop("rows").items()}
    return {f"symbolic.{key}": value for key, value in settings.items()}
