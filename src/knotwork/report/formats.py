"""Numbers as text, the same way everywhere. A dash stands for a value that does not exist."""

NONE = "–"
MINUS = "−"
SPACE = "\u202f"  # narrow and no-break: between a number and its unit
CONFIDENCE = f"95{SPACE}%"


def percent(fraction: float | None, digits: int = 1) -> str:
    """0.4833 as ``48.3 %``."""
    return NONE if fraction is None else f"{100 * fraction:.{digits}f}{SPACE}%"


def percent_interval(low: float, high: float) -> str:
    """0.415, 0.55 as ``41.5–55.0`` (percent)."""
    return interval(100 * low, 100 * high)


def decimal(value: float | None, digits: int = 1) -> str:
    """A number with a fixed count of decimals."""
    return NONE if value is None else f"{value:,.{digits}f}"


def signed(value: float, digits: int = 1) -> str:
    """A difference with its sign: ``+8.6``, ``−1.2``; ``0.0`` where nothing is left of it."""
    text = decimal(abs(value), digits)
    return text if float(f"{value:.{digits}f}") == 0 else f"{'+' if value > 0 else MINUS}{text}"


def signed_interval(low: float, high: float, digits: int = 1) -> str:
    """``−0.6 to +5.8``."""
    return f"{signed(low, digits)} to {signed(high, digits)}"


def p_value(value: float) -> str:
    """``p = 0.012``, ``p < 0.001``."""
    return "p < 0.001" if value < 0.0005 else f"p = {value:.3f}"


def interval(low: float, high: float, digits: int = 1) -> str:
    """``25.1–27.6``."""
    return f"{decimal(low, digits)}–{decimal(high, digits)}"


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return NONE if value is None else f"{round(value):,}"


def parameters(value: float | None) -> str:
    """A parameter count for a sentence: ``14.2 M``, ``590 k``."""
    if value is None:
        return NONE
    # The bounds are where rounding would reach the next unit.
    if value >= 999_500:
        return f"{value / 1e6:.1f}{SPACE}M"
    return f"{value / 1e3:.0f}{SPACE}k" if value >= 9_950 else count(value)


def seconds(value: float | None) -> str:
    """``41.3 s``, ``5 min 12 s``, ``2 h 05 min``."""
    if value is None:
        return NONE
    if value < 59.95:
        return f"{value:.1f}{SPACE}s"
    if value < 3599.5:
        minutes, rest = divmod(round(value), 60)
        return f"{minutes}{SPACE}min {rest:02d}{SPACE}s"
    hours, rest = divmod(round(value / 60), 60)
    return f"{hours}{SPACE}h {rest:02d}{SPACE}min"


def megabytes(value: float | None) -> str:
    """``512 MB``, ``1.9 GB``."""
    if value is None:
        return NONE
    return f"{value / 1000:.1f}{SPACE}GB" if value >= 999.5 else f"{value:.0f}{SPACE}MB"
