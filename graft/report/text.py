"""How the page writes numbers, so that no number claims more than was measured."""

import math
from collections.abc import Sequence
from typing import Any

SPACE = "\N{NO-BREAK SPACE}"
NOTHING = "\N{EN DASH}"
MANY_IMAGES = 5000


def decimals(images: int) -> int:
    """Decimals of a percentage of so many images."""
    return 2 if images >= MANY_IMAGES else 1


def number(value: Any) -> str:
    """A value of unknown type: four significant digits of a float, a dash for nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def mean_sd(mean: float | None, sd: float | None, digits: int, scale: float = 1) -> str:
    """``mean ± sd``; the mean alone where there is no standard deviation, a dash where there is no mean."""
    if mean is None or math.isnan(mean):
        return NOTHING
    if math.isinf(mean):
        return "∞"
    text = f"{mean * scale:.{digits}f}"
    return text if sd is None or math.isnan(sd) else f"{text}{SPACE}±{SPACE}{sd * scale:.{digits}f}"


def duration(seconds: float | None) -> str:
    """Seconds as text of two units at most."""
    if seconds is None or math.isnan(seconds):
        return NOTHING
    if seconds < 10:
        return f"{seconds:.1f}{SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,}{SPACE}h{SPACE}{minutes}{SPACE}min"
    return f"{minutes}{SPACE}min{SPACE}{rest}{SPACE}s" if minutes else f"{rest}{SPACE}s"


def memory(mebibytes: float | None) -> str:
    """MiB as MiB or, from 1024 on, GiB."""
    if mebibytes is None or math.isnan(mebibytes):
        return NOTHING
    return f"{mebibytes:.0f}{SPACE}MiB" if mebibytes < 1024 else f"{mebibytes / 1024:.1f}{SPACE}GiB"


def listed(items: Sequence[Any]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    words = [str(item) for item in items]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def counted(count: int, noun: str) -> str:
    """``1 image``, ``1,797 images``."""
    return f"{count:,}{SPACE}{noun}{'' if count == 1 else 's'}"
