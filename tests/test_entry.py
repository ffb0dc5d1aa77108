import json
import shutil
import sys
from pathlib import Path

import pytest

from knotwork.entry import run_stage
from knotwork.errors import UserError

COMMITTED = Path(__file__).parents[1] / "params.yaml"


@pytest.fixture
def stage(folder, monkeypatch):
    shutil.copy(COMMITTED, folder)
    monkeypatch.setattr(sys, "argv", ["stages/train.py", "sst", "1"])
    return folder


def exit_status(work) -> int:
    with pytest.raises(SystemExit) as exited:
        run_stage(work)
    return exited.value.code


def test_stage_gets_parameters_and_arguments_and_notes_its_time(stage):
    seen = []
    assert exit_status(lambda params, arguments: seen.append((params.adapter, arguments))) == 0
    assert seen == [("lora", ["sst", "1"])]
    note = json.loads((stage / "data/timings/train-sst-1.json").read_text())
    assert note["stage"] == "train"
    assert note["seconds"] >= 0


def test_mistake_is_one_line_and_status_2(stage, capsys):
    def work(params, arguments):
        raise UserError("data.csv:3: broken; mend it")

    assert exit_status(work) == 2
    assert capsys.readouterr().err == "error: data.csv:3: broken; mend it\n"
    assert not (stage / "data").exists()


def test_wrong_parameters_stop_before_any_work(stage, capsys):
    text = (stage / "params.yaml").read_text().replace("adapter: lora", "adapter: lorra")
    (stage / "params.yaml").write_text(text)
    assert exit_status(lambda *_: pytest.fail("work was started")) == 2
    assert capsys.readouterr().err.startswith("error: params.yaml: adapter: 'lorra' is not allowed")
