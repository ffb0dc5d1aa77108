from pathlib import Path

import pytest

from .study import Study, right_on


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Three runs: ``full`` beats ``lora`` on SST and in perplexity, ``head`` is worse in perplexity alone."""
    study = Study(tmp_path_factory.mktemp("three"))
    study.classes("lora", "sst", right_on(*range(30)))
    study.classes("full", "sst", right_on(*range(6), 40), adapter="full")
    study.classes("head", "sst", right_on(*range(28)), adapter="head")
    study.classes("lora", "quora", right_on(*range(20)))
    study.classes("full", "quora", right_on(*range(10, 29)), adapter="full")
    study.sonnets("lora", 0.3, 3.0)
    study.sonnets("full", 0.3, 2.7, adapter="full")
    study.sonnets("head", 0.2, 3.4, adapter="head")
    return study
