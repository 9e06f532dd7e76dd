"""Which of several models differ over several data sets: their mean ranks on one axis, and the critical difference."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from graft.figures.style import GREY, label, letters, look, narrow, new_figure, palette, points, shorten, text_scale

LEVEL, ROW = 0.26, 0.24  # inches in the default size: of a bar that joins names, and of a name
LONGEST = 32


def alike(ranks: Sequence[float], critical_difference: float) -> list[tuple[int, int]]:
    """The first and the last of each group of ascending ``ranks`` that are all within the critical difference.

    Groups of one, and groups within another one, are left out.
    """
    groups: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(k for k, other in enumerate(ranks) if other - rank <= critical_difference)
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return groups


def _at_right(names: int) -> int:
    """How many names are at the right: half of them, or all where the width holds no two beside the axis."""
    return names if narrow() else math.ceil(names / 2)


def _draw_names(axes: Axes, names: Sequence[str], ranks: Sequence[float], most: int, top: float) -> None:
    """A line from each rank down, and to its name at the side: the better ones at the right, the others at the left."""
    better = _at_right(len(names))
    row, length = ROW * text_scale(), letters(LONGEST, 24)
    edges = (1 - 0.12 * (most - 1) / 4, most + 0.12 * (most - 1) / 4)
    for place, (name, rank) in enumerate(zip(names, ranks, strict=True)):
        at_right = place < better
        height = top + row * (place if at_right else len(names) - 1 - place)
        edge = edges[0] if at_right else edges[1]
        line: dict[str, Any] = {"color": GREY, "lw": 0.9, "solid_joinstyle": "miter", "zorder": 2, "clip_on": False}
        axes.plot([rank, rank, edge], [0, height, height], **line)
        axes.annotate(
            f" {shorten(name, length)}  {rank:.2f} " if at_right else f" {rank:.2f}  {shorten(name, length)} ",
            (edge, height),
            va="center",
            ha="left" if at_right else "right",
            fontsize=points(8.5),
            annotation_clip=False,
            parse_math=False,
        )


@look()
def critical_difference(ranks: pd.DataFrame, title: str) -> tuple[Figure, pd.DataFrame]:
    """The diagram of Demsar 2006 (Journal of Machine Learning Research 7, figure 1): the best rank, 1, is at the right.

    ``ranks`` has a row per name: ``name``, ``mean_rank``, and the same of all ``datasets``, ``statistic``, ``p`` and
    ``critical_difference``. Bars join names whose mean ranks are no further apart than the critical difference, which the
    test does not tell apart. The table is ``ranks``, the best first.
    """
    table = ranks.sort_values("mean_rank", kind="stable", ignore_index=True)
    names, means, most = table["name"].tolist(), table["mean_rank"].tolist(), len(table)
    facts = table.iloc[0]
    distance = float(facts["critical_difference"])
    groups = alike(means, distance)

    top = LEVEL * (len(groups) + 1)
    bottom = top + ROW * text_scale() * _at_right(most)
    figure = new_figure(title, height=bottom + 1.35)
    axes = figure.subplots()
    axes.set_xlim(most, 1)
    axes.set_ylim(bottom, -0.55)
    axes.set_axis_off()
    ticks = np.arange(1, most + 1)
    axes.plot([1, most], [0, 0], color="#222222", lw=1.2, clip_on=False)
    for tick in ticks[:: max(1, most // (6 if narrow() else 12))]:
        axes.plot([tick, tick], [-0.06, 0], color="#222222", lw=1.0, clip_on=False)
        axes.text(tick, -0.1, str(tick), ha="center", va="bottom", fontsize=points(8))

    single, other = palette().colours[:2]
    if distance <= most - 1:
        end = most - distance
        axes.plot([most, end], [-0.42, -0.42], color=other, lw=2, clip_on=False, solid_capstyle="butt")
        for place in (most, end):
            axes.plot([place, place], [-0.47, -0.37], color=other, lw=1.2, clip_on=False)
        said = label("critical difference {distance}", distance=f"{distance:.2f}")
        axes.text((most + end) / 2, -0.5, said, ha="center", va="bottom", fontsize=points(8))
    else:
        said = label("critical difference {distance}, more than any two ranks can differ", distance=f"{distance:.2f}")
        axes.text(most, -0.42, said, ha="left", va="bottom", fontsize=points(8))

    _draw_names(axes, names, means, most, top)
    for level, (first, last) in enumerate(groups, 1):
        reach = 0.02 * (most - 1)
        bar = [means[first] - reach, means[last] + reach]
        height = LEVEL * level - 0.06
        axes.plot(bar, [height] * 2, color=single, lw=4, solid_capstyle="round", zorder=3, clip_on=False)
    p = f"p = {facts['p']:.3f}" if facts["p"] >= 0.001 else "p < 0.001"
    said = label("Friedman's test over {datasets} data sets: {p}", datasets=facts["datasets"], p=p)
    figure.supxlabel(said, fontsize=points(8), color=GREY)
    return figure, table
