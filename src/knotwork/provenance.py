"""Where a figure comes from: commit, versions, machine."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "transformers", "peft", "accelerate", "tokenizers", "numpy", "scikit-learn", "sacrebleu")


def commit() -> dict[str, Any]:
    """The commit that is checked out and whether files differ from it; nulls outside git."""
    head = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", "src", "stages", "dvc.yaml")
    return {"commit": head, "dirty": bool(changes) if head else None}


def versions() -> dict[str, str]:
    """Python's and the deciding libraries' versions."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def machine(place: str, threads: int) -> dict[str, Any]:
    """The processor, the threads used, and the device."""
    return {"cpu": _processor(), "cores": os.cpu_count(), "threads": threads, "device": place}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
