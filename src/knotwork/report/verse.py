"""Sonnets as lines to print."""


def lines(text: str) -> list[str]:
    """A text's lines without indentation and without blank ones."""
    return [line.strip() for line in text.strip().splitlines() if line.strip()]


def continuation(text: str, opening: str) -> list[str]:
    """The lines of a text without the given lines at its start, if they stand there."""
    return lines(text.strip().removeprefix(opening.strip()))
