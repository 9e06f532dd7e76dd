"""How pages write numbers, so that no number claims more than was measured, and the templates that they stand in."""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

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


def p_value(p: float) -> str:
    """A p-value of three decimals; a dash where there is none."""
    if math.isnan(p):
        return NOTHING
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


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


def percent(share: float) -> str:
    """A share as a percentage of three significant digits."""
    return f"{100 * share:.3g}{SPACE}%"


def ratio(value: float) -> str:
    """At least three significant digits of a number from 1 on."""
    return f"{value:,.2f}" if value < 10 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def grouped(count: int) -> str:
    """``1,797``."""
    return f"{count:,}"


def size(width: int, height: int) -> str:
    """``640 x 480``, with a multiplication sign."""
    return f"{width}{SPACE}\N{MULTIPLICATION SIGN}{SPACE}{height}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"counted": counted, "grouped": grouped, "listed": listed}
    return environment


def render(template: str, **values: Any) -> str:
    """A template of this folder with these values, which are escaped; a value that is missing is an error."""
    return _environment().get_template(template).render(values)
