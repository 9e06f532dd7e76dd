"""How the accuracy of an ensemble grows with its members."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from graft.figures.style import BLUE, GREY, look, new_figure, percent_axis


@look()
def growth(table: pd.DataFrame, title: str) -> tuple[Figure, pd.DataFrame]:
    """Top-1 accuracy of the mean probability against the number of members: the mean over choices of members, and a band
    from the lowest to the highest of them.

    ``table`` is that of :func:`graft.statistics.soft_vote_accuracy` (columns ``members``, ``subsets``, ``mean``,
    ``lowest``, ``highest``), and what is returned.
    """
    figure = new_figure(title, height=3.2)
    axes = figure.subplots()
    members, mean = table["members"], table["mean"]
    axes.fill_between(
        members, table["lowest"], table["highest"], color=BLUE, alpha=0.18, lw=0, label="lowest to highest choice"
    )
    marker = "o" if len(table) <= 20 else ""
    axes.plot(members, mean, marker=marker, ms=4, color=BLUE, label="mean of the choices tried")
    axes.axhline(mean.iloc[-1], color=GREY, lw=0.9, ls=(0, (3, 1.5)), zorder=1, label="all members")
    axes.set_xlabel("Members")
    axes.set_ylabel("Top-1 accuracy (%)")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    percent_axis(axes.yaxis)
    figure.legend(loc="outside lower center", ncols=3)
    return figure, table
