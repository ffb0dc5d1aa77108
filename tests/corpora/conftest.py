import pytest


@pytest.fixture(autouse=True)
def no_mirror_variable(monkeypatch):
    monkeypatch.delenv("KNOTWORK_MIRROR", raising=False)
