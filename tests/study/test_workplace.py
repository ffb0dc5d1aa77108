"""What is said when git cannot do its part."""

import pytest

from knotwork.errors import UserError
from knotwork.study import workplace


@pytest.mark.parametrize(
    "script, told", [("echo first >&2; echo last >&2; exit 1", "last"), ("kill -9 $$", "exit status -9")]
)
def test_a_git_that_fails_is_one_line(tmp_path, monkeypatch, script, told):
    git = tmp_path / "git"
    git.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    git.chmod(0o755)
    monkeypatch.setattr(workplace, "_environment", lambda: {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    with pytest.raises(UserError, match=f"git fetch in .*: {told}$"):
        workplace._must(tmp_path, "fetch")
