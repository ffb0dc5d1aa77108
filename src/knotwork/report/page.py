"""A page as HTML: the elements through the template."""

from pathlib import Path

import jinja2
from markupsafe import Markup

from knotwork.report import paper
from knotwork.report.elements import Page

FOLDER = Path(__file__).parent


def render(page: Page) -> str:
    """A page as HTML; style and pictures are part of it, so it opens from disk without a network."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup((FOLDER / "style.css").read_text(encoding="utf-8"))
    return environment.get_template("page.html.jinja").render(page=page, style=style, paper=paper)
