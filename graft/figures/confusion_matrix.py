"""Which classes are taken for which."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from graft.figures.style import full_width, label, look, narrow, new_figure, palette, points, shorten, text_scale

MOST_WITH_COUNTS = 20
MOST_LABELS = 50
LETTER = 0.64  # width of a letter, in font sizes


@look()
def confusion_matrix(counts: np.ndarray, classes: list[str], title: str) -> tuple[Figure, pd.DataFrame]:
    """True classes in rows, predicted ones in columns; the colour is the share of a row.

    ``counts`` (classes, classes) are numbers of images. Up to 20 classes, each cell says its count unless it is zero;
    beyond, colours follow the square root of the share, so that rare confusions show, and beyond 50 not every class
    is named. The table is ``counts`` with the column ``true`` in front.
    """
    number = len(classes)
    few = number <= MOST_WITH_COUNTS
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)

    around = 1.8 * text_scale()  # inches
    side = min(full_width(), 0.4 + around + 0.38 * number)
    cell = (side - around) * 72 / number
    figure = new_figure(title, height=side * 0.93, width=side)
    axes = figure.subplots()
    norm = PowerNorm(1 if few else 0.5, vmin=0, vmax=1)
    image = axes.imshow(np.ma.masked_invalid(share), cmap=palette().cells, norm=norm, interpolation="none")
    if few:
        size = min(points(9), 0.8 * cell / (LETTER * len(str(counts.max()))))
        for row, column in np.argwhere(counts > 0):
            colour = "white" if share[row, column] > 0.55 else "#222222"
            text = str(counts[row, column])
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)

    shown = range(0, number, -(-number // MOST_LABELS))
    names = [shorten(classes[k]) for k in shown]
    size = points(8 if few else 6)
    upright = few and 0.95 * cell > size * LETTER * max(map(len, names))
    axes.set_xticks(shown, names, rotation=0 if upright else 90, fontsize=size, parse_math=False)
    axes.set_yticks(shown, names, fontsize=size, parse_math=False)
    axes.tick_params(length=2)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(label("Predicted class"))
    axes.set_ylabel(label("True class"))
    ticks = [0, 0.25, 0.5, 0.75, 1] if few else [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1]
    bar = figure.colorbar(
        image, ax=axes, shrink=0.7, aspect=28, pad=0.02, ticks=ticks, format=PercentFormatter(1, symbol="")
    )
    share_label = label("Share of the true class (%)")
    long = LETTER * points(9) * len(share_label) > 0.78 * 72 * figure.get_figheight()
    bar.set_label(textwrap.fill(share_label, 20) if narrow() or long else share_label)
    bar.outline.set_visible(False)

    table = pd.DataFrame(counts, columns=classes)
    table.insert(0, "true", classes, allow_duplicates=True)
    return figure, table
