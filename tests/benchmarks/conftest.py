"""A project as the pipeline leaves it, on the smallest base."""

import shutil
import sys
from pathlib import Path

import pytest
import yaml

from knotwork.files import write_json
from knotwork.identity import base_identity

REPOSITORY = Path(__file__).parents[2]
sys.path.append(str(REPOSITORY / "benchmarks"))  # the scripts import each other by bare name

ROWS = 96
SMALL = {
    "base.path": "assets/base-tiny",
    "graphs.parser": "assets/parser",
    "full.learning_rate": 2.5e-3,
    "kan.fit_rows": 8,
    "evaluate.bootstrap": 200,
    "train.batch.size": 8,
    "train.epochs.sst": 1,
}


@pytest.fixture
def project(folder, data, parameters):
    """The current folder as the pipeline leaves it, with more rows; gives what rewrites params.yaml."""
    (folder / "assets").symlink_to(REPOSITORY / "assets")
    shutil.copytree(data, folder / "data")
    lines = (REPOSITORY / "data/sample/ids-sst-train.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "data/raw/sst/train.csv").write_text("".join(lines[: ROWS + 1]), encoding="utf-8")
    write_json(folder / "data/identity/base.json", base_identity("assets/base-tiny", None))

    def write(overrides=None):
        values = parameters({**SMALL, **(overrides or {})}).model_dump(mode="json")
        (folder / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")

    write()
    return write
