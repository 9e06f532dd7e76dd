"""The look that every figure shares, and how a figure becomes files that do not change when nothing changed."""

import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, PercentFormatter, StrMethodFormatter

from graft.errors import UserError
from graft.figures.words import translated
from graft.files import replacing
from graft.words import nearest

WIDTH_MM = 177.8  # 7 inches: two columns of most papers
FONT = "DejaVu Sans"  # comes with Matplotlib, so figures are alike on every machine
FONT_SIZE = 9.0
DPI = 200
GREY = "#767676"
LETTER = 0.62  # width of a letter of a bold title, in font sizes

_LOOK = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.labelcolor": "#222222",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.titleweight": "bold",
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "pdf.fonttype": 42,  # TrueType: journals refuse the other kind, Type 3
    "svg.fonttype": "none",
    "svg.hashsalt": "graft",
    "text.color": "#222222",
    "text.parse_math": False,  # a dollar sign in a class name is a dollar sign
    "xtick.color": "#444444",
    "ytick.color": "#444444",
}
_METADATA: dict[str, dict[str, None]] = {  # nothing that differs from day to day, or with Matplotlib
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


# -- settings ------------------------------------------------------------------------------------------------------------


class Palette(NamedTuple):
    """The colours of a figure: of single things (the second one stands out), of what is in the background, and scales.

    ``many`` is the colour map of more things than there are colours and where on it the last of them is, ``cells`` that
    of shares, and ``ramp`` are the colours of a scale from the least to the most, of which even the first is seen on white.
    """

    colours: tuple[str, ...]
    muted: str
    many: tuple[str, float]
    cells: str
    ramp: tuple[str, str, str]


PALETTES = {
    # Okabe and Ito, Color Universal Design, 2008, without yellow, which is faint on white.
    "okabe_ito": Palette(
        ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
        *(GREY, ("viridis", 0.9), "Blues", ("#c4ddf0", "#0072B2", "#00243b")),
    ),
    # Tol, Colour Schemes, SRON technical note 09-002, 2021, figure 1: "bright".
    "tol_bright": Palette(
        ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#BBBBBB"),
        *(GREY, ("viridis", 0.9), "Blues", ("#cfdbe8", "#4477AA", "#142433")),
    ),
    "grey": Palette(
        ("#6a6a6a", "#000000", "#a2a2a2", "#3c3c3c", "#c6c6c6"),
        *("#b0b0b0", ("gray", 0.8), "Greys", ("#d0d0d0", "#6a6a6a", "#000000")),
    ),
}


class Style(NamedTuple):
    """What a study may say of its figures; ``graft.config.figures`` says what is allowed. The width is in millimetres,
    the font size, from which all others follow, in points."""

    formats: Sequence[str] = ("png", "svg")
    width_mm: float = WIDTH_MM
    font: str = FONT
    font_size: float = FONT_SIZE
    palette: str = "okabe_ito"
    language: str = "en"


_STYLE: ContextVar[Style] = ContextVar("style")


def _style() -> Style:
    """The style of the block that code runs in."""
    return _STYLE.get(Style())


def _checked(font: str) -> str:
    try:
        font_manager.findfont(font_manager.FontProperties(family=[font]), fallback_to_default=False)
    except ValueError:
        known = sorted({found.name for found in font_manager.fontManager.ttflist})
        raise UserError(f"figures.font: {font!r} is not installed here{nearest(font, known)}") from None
    return font


def _parameters(style: Style) -> dict[str, Any]:
    """What Matplotlib is told of a style. Of letters that its font lacks, the usual one has most."""
    sizes = {"font.size": 9, "figure.titlesize": 10.5, "xtick.labelsize": 8, "ytick.labelsize": 8}
    fonts = list(dict.fromkeys([_checked(style.font), FONT]))
    return _LOOK | {name: _scaled(size, style) for name, size in sizes.items()} | {"font.family": fonts}


@contextmanager
def look(style: Style | None = None) -> Iterator[None]:
    """The shared look in this style, whatever ``matplotlibrc`` says; without one, in that of the block around it.

    Stands over a function as ``@look()`` or opens a block.

    Raises:
        UserError: the font of the style is not installed.
    """
    chosen = style or _style()
    before = _STYLE.set(chosen)
    try:
        with matplotlib.style.context(["default", _parameters(chosen)]):
            yield
    finally:
        _STYLE.reset(before)


# -- sizes ---------------------------------------------------------------------------------------------------------------


def _scaled(size: float, style: Style) -> float:
    return size * style.font_size / FONT_SIZE


def points(size: float) -> float:
    """A font size that is ``size`` where the usual one is the default."""
    return _scaled(size, _style())


def text_scale() -> float:
    """How large text is beside the default."""
    return points(1)


def full_width() -> float:
    """The width of a figure, in inches."""
    return round(_style().width_mm / 25.4, 6)


def narrow() -> bool:
    """Whether letters take so much of the width that two panels cannot stand side by side."""
    return full_width() < 4.5 * text_scale()


def letters(count: int, least: int = 12) -> int:
    """How many letters take the part of the width that ``count`` take in the default look; ``least`` at least."""
    share = _style().width_mm / WIDTH_MM / text_scale()
    return max(min(least, count), round(count * share))


# -- colours -------------------------------------------------------------------------------------------------------------


def palette() -> Palette:
    """The colours of the figures."""
    return PALETTES[_style().palette]


def colours(count: int) -> list[str]:
    """``count`` colours that differ: the palette, or steps of a colour map where it has too few."""
    own, (many, end) = palette().colours, palette().many
    if count <= len(own):
        return list(own[:count])
    return [matplotlib.colors.to_hex(step) for step in matplotlib.colormaps[many](np.linspace(0, end, count))]


def ramp() -> LinearSegmentedColormap:
    """The scale from the least to the most."""
    return LinearSegmentedColormap.from_list("ramp", list(palette().ramp))


# -- words ---------------------------------------------------------------------------------------------------------------


def label(text: str, **values: object) -> str:
    """An English text in the language of the figures, its ``{fields}`` filled in."""
    return translated(text, _style().language).format(**values)


class Measure(NamedTuple):
    """How a metric is shown: its name, whether as a percentage, and whether more of it is better."""

    name: str
    percent: bool
    higher: bool

    @property
    def label(self) -> str:
        return label(self.name)

    @property
    def axis_label(self) -> str:
        return f"{self.label} (%)" if self.percent else self.label


MEASURES = {
    "top1": Measure("Top-1 accuracy", True, True),
    "top5": Measure("Top-5 accuracy", True, True),
    "log_loss": Measure("Log loss", False, False),
    "brier": Measure("Brier score", False, False),
    "balanced_accuracy": Measure("Balanced accuracy", True, True),
    "macro_f1": Measure("Macro F1", True, True),
    "calibration_error": Measure("Expected calibration error", True, False),
    "val_loss": Measure("Validation loss", False, False),
    "val_accuracy": Measure("Validation accuracy", True, True),
}


def shorten(name: str, length: int = 18) -> str:
    """A name on one line, without characters that XML forbids, and no longer than ``length`` characters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


# -- figures -------------------------------------------------------------------------------------------------------------


def put_title(figure: Figure, title: str) -> None:
    """A title at the upper left of a figure, over as many lines as it needs; the figure grows by all but the first."""
    size = points(10.5)
    most = max(8, int(72 * figure.get_figwidth() / (LETTER * size)))
    lines = textwrap.wrap(shorten(title, 4 * most), most) or [""]
    figure.suptitle("\n".join(lines), x=0.015, horizontalalignment="left")
    figure.set_figheight(figure.get_figheight() + (len(lines) - 1) * 1.2 * size / 72)


def new_figure(title: str, height: float, width: float | None = None) -> Figure:
    """An empty figure of ``width`` (the usual one, if it is None) x ``height`` inches with a title at its upper left."""
    figure = Figure(figsize=(full_width() if width is None else width, height), layout="constrained")
    FigureCanvasAgg(figure)
    put_title(figure, title)
    return figure


def legend_below(figure: Figure, handles: Sequence[Artist], labels: Sequence[str], most: int, **options: Any) -> Legend:
    """A legend below the panels, of the ``most`` columns that the width holds; the figure grows by what rows this adds."""
    for columns in range(most, 0, -1):
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns, **options)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
    rows = math.ceil(len(labels) / columns) - math.ceil(len(labels) / most)
    figure.set_figheight(figure.get_figheight() + rows * 1.7 * points(9) / 72)
    return legend


def percent_axis(axis: Axis) -> None:
    """Show shares as percentages, whose sign stands in the axis label."""
    axis.set_major_formatter(PercentFormatter(1, symbol=""))


def log_axis_if_wide(axes: Axes, which: Literal["x", "y"], values: np.ndarray, ratio: float = 30) -> None:
    """Make an axis logarithmic if its finite ``values`` are positive and their ends further apart than ``ratio``."""
    finite = values[np.isfinite(values)]
    if not len(finite) or finite.min() <= 0 or finite.max() / finite.min() <= ratio:
        return
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0,) if finite.max() / finite.min() > 100 else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def save_figure(figure: Figure, table: pd.DataFrame, stem: Path) -> list[Path]:
    """Write ``<stem>.<format>`` in each format of the style, and ``<stem>.csv``; equal figures give equal bytes.

    A file of a format that the style no longer has is removed, for it would show another figure.
    """
    formats = _style().formats
    paths = {ending: stem.with_name(f"{stem.name}.{ending}") for ending in (*_METADATA, "csv")}
    with look():
        for ending in formats:
            with replacing(paths[ending]) as beside:
                figure.savefig(beside, format=ending, dpi=DPI, metadata=_METADATA[ending])
    for ending in _METADATA.keys() - {*formats}:
        paths[ending].unlink(missing_ok=True)
    with replacing(paths["csv"]) as beside:
        table.to_csv(beside, index=False, float_format="%.6g", lineterminator="\n")
    return [paths[ending] for ending in (*formats, "csv")]
