"""What the Makefile says must fit the pipeline."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def test_clean_removes_what_the_pipeline_makes():
    """All that git ignores below the project's root, except the work of the small pipeline in assets/."""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    removed = set(re.search(r"^clean:\n\trm -rf (.*)$", makefile, re.MULTILINE)[1].split())
    ignored = re.findall(r"^/(.*?)/?$", (REPOSITORY / ".gitignore").read_text(encoding="utf-8"), re.MULTILINE)
    made = {path for path in ignored if not path.startswith("assets/")}
    assert {"models", "data/raw", "reports/report.html"} <= made
    assert made <= removed
