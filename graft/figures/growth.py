"""How the accuracy of an ensemble grows with its members."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from graft.figures.style import GREY, MEASURES, label, legend_below, look, new_figure, palette, percent_axis


@look()
def growth(table: pd.DataFrame, title: str) -> tuple[Figure, pd.DataFrame]:
    """Top-1 accuracy of the mean probability against the number of members: the mean over choices of members, and a band
    from the lowest to the highest of them.

    ``table`` is that of :func:`graft.statistics.soft_vote_accuracy` (columns ``members``, ``subsets``, ``mean``,
    ``lowest``, ``highest``), and what is returned.
    """
    figure = new_figure(title, height=3.2)
    axes = figure.subplots()
    members, mean, colour = table["members"], table["mean"], palette().colours[0]
    axes.fill_between(
        members,
        table["lowest"],
        table["highest"],
        color=colour,
        alpha=0.18,
        lw=0,
        label=label("lowest to highest choice"),
    )
    marker = "o" if len(table) <= 20 else ""
    axes.plot(members, mean, marker=marker, ms=4, color=colour, label=label("mean of the choices tried"))
    axes.axhline(mean.iloc[-1], color=GREY, lw=0.9, ls=(0, (3, 1.5)), zorder=1, label=label("all members"))
    axes.set_xlabel(label("Members"))
    axes.set_ylabel(MEASURES["top1"].axis_label)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    percent_axis(axes.yaxis)
    legend_below(figure, *axes.get_legend_handles_labels(), most=3)
    return figure, table
