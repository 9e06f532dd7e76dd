"""The look that every figure shares, and how a figure becomes files that do not change when nothing changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import matplotlib
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, PercentFormatter, StrMethodFormatter

from graft.files import replacing

WIDTH = 7.0  # inches: two columns of most papers
DPI = 200

# Okabe and Ito, Color Universal Design, 2008, without yellow, which is faint on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
BLUE, ORANGE = PALETTE[:2]
GREY = "#767676"

_LOOK = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.labelcolor": "#222222",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.titlesize": 10.5,
    "figure.titleweight": "bold",
    "font.family": "DejaVu Sans",  # comes with Matplotlib, so figures are alike on every machine
    "font.size": 9,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "graft",
    "text.color": "#222222",
    "text.parse_math": False,  # a dollar sign in a class name is a dollar sign
    "xtick.color": "#444444",
    "xtick.labelsize": 8,
    "ytick.color": "#444444",
    "ytick.labelsize": 8,
}


class Measure(NamedTuple):
    """How a metric is shown: its label, whether as a percentage, and whether more of it is better."""

    label: str
    percent: bool
    higher: bool

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


@contextmanager
def look() -> Iterator[None]:
    """The shared look, whatever ``matplotlibrc`` says; stands over a function as ``@look()`` or opens a block."""
    with matplotlib.style.context(["default", _LOOK]):
        yield


def new_figure(title: str, height: float, width: float = WIDTH) -> Figure:
    """An empty figure of ``width`` x ``height`` inches with a title at its upper left."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.015, horizontalalignment="left")
    return figure


def colours(count: int) -> list[str]:
    """``count`` colours that differ: the palette, or steps of a colour map where it has too few."""
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    steps = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, count))
    return [matplotlib.colors.to_hex(step) for step in steps]


def shorten(name: str, length: int = 18) -> str:
    """A name on one line, without characters that XML forbids, and no longer than ``length`` characters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


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
    """Write ``<stem>.png``, ``<stem>.svg`` and ``<stem>.csv``; equal figures and tables give equal bytes."""
    png, svg, csv = (stem.with_name(f"{stem.name}.{ending}") for ending in ("png", "svg", "csv"))
    with look():
        with replacing(png) as beside:
            figure.savefig(beside, format="png", dpi=DPI, metadata={"Software": None})
        with replacing(svg) as beside:
            figure.savefig(beside, format="svg", dpi=DPI, metadata={"Date": None, "Creator": None})
    with replacing(csv) as beside:
        table.to_csv(beside, index=False, float_format="%.6g", lineterminator="\n")
    return [png, svg, csv]
