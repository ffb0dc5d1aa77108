"""Our adapters as methods of PEFT: known to it once both packages are imported, in either order.

PEFT has no hook for methods of other packages, and importing it takes seconds: so ``import knotwork`` registers
at once where PEFT is there already, and right after PEFT's import otherwise.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

METHODS = {
    "KAN_LORA": ("kan", "KanLoraConfig", "KanLoraModel"),
    "GRAPH_LORA": ("graph", "GraphLoraConfig", "GraphLoraModel"),
}
"""Type in PEFT's files: the adapter's package, its configuration and its tuner."""


def register() -> None:
    """Enter our methods into PEFT's tables; plain strings do as keys beside its own enumeration."""
    mapping = import_module("peft.mapping")
    for name, (package, config, tuner) in METHODS.items():
        home = f"knotwork.adapters.{package}"
        tuner_class = getattr(import_module(f"{home}.model"), tuner)
        mapping.PEFT_TYPE_TO_CONFIG_MAPPING[name] = getattr(import_module(f"{home}.config"), config)
        mapping.PEFT_TYPE_TO_TUNER_MAPPING[name] = tuner_class
        mapping.PEFT_TYPE_TO_PREFIX_MAPPING[name] = tuner_class.prefix


class _AfterImport(MetaPathFinder):
    """Finds PEFT as usual, and registers when it has been executed; asking where it is executes nothing."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "peft":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                sys.meta_path.remove(self)
                execute(module)
                register()

            spec.loader.exec_module = exec_module
        return spec


def register_with_peft() -> None:
    """Register now, or as soon as PEFT is imported."""
    if "peft" in sys.modules:
        register()
    else:
        sys.meta_path.insert(0, _AfterImport())
