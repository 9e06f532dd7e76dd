"""What a hyperparameter search tried, and what came of it."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from graft.figures.style import BLUE, GREY, MEASURES, ORANGE, log_axis_if_wide, look, new_figure, percent_axis, shorten

COLUMNS = 3


def _scatter(axes: Axes, x: pd.Series, trials: pd.DataFrame, best: int | None, metric: str) -> None:
    """The value of each trial against ``x``: pruned ones hollow, the best one large."""
    pruned = trials["state"] == "pruned"
    axes.plot(x[pruned], trials["value"][pruned], "o", ms=4.5, mfc="white", mec=GREY, mew=1, label="pruned trial")
    axes.plot(x[~pruned], trials["value"][~pruned], "o", ms=5, mew=0, color=BLUE, alpha=0.8, label="complete trial")
    if best is not None:
        axes.plot(x[best], trials["value"][best], "*", ms=12, mec="white", mew=0.6, color=ORANGE, label="best trial")
    if MEASURES[metric].percent:
        percent_axis(axes.yaxis)
    else:
        log_axis_if_wide(axes, "y", trials["value"].to_numpy(float))


@look()
def tuning_history(trials: pd.DataFrame, metric: str, title: str) -> tuple[Figure, pd.DataFrame]:
    """The value of each trial with the best so far, and below it, for each parameter, value against parameter.

    ``trials`` has a row per trial: ``trial``, ``state`` (``complete`` or ``pruned``), ``value`` of ``metric``,
    ``epochs``, and a column per parameter. The table is ``trials`` with ``best_so_far`` behind ``value``.
    """
    trials = trials.sort_values("trial", ignore_index=True)
    measure = MEASURES[metric]
    complete = trials["value"].astype(float).where(trials["state"] == "complete")
    best_so_far = (complete.cummax() if measure.higher else complete.cummin()).ffill()
    best = None
    if complete.notna().any():
        best = int(complete.argmax() if measure.higher else complete.argmin())
    known = ["trial", "state", "value", "epochs"]
    parameters = [name for name in trials.columns.drop(known) if trials[name].notna().any()]

    lines = math.ceil(len(parameters) / COLUMNS)
    figure = new_figure(title, height=2.9 + 1.9 * lines)
    grid = figure.add_gridspec(1 + lines, COLUMNS, height_ratios=[1.25] + [1] * lines)
    top = figure.add_subplot(grid[0, :])
    top.step(trials["trial"], best_so_far, where="post", color=ORANGE, lw=1.2, label="best so far")
    _scatter(top, trials["trial"], trials, best, metric)
    top.set_xlabel("Trial")
    top.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    top.set_ylabel(measure.axis_label)

    for place, name in enumerate(parameters):
        axes = figure.add_subplot(grid[1 + place // COLUMNS, place % COLUMNS], sharey=top)
        values = trials[name]
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            _scatter(axes, values, trials, best, metric)
            log_axis_if_wide(axes, "x", values.to_numpy(float), ratio=100)
        else:
            codes, choices = pd.factorize(values.astype("string"), sort=True)
            _scatter(axes, pd.Series(np.where(codes < 0, np.nan, codes)), trials, best, metric)
            axes.set_xticks(range(len(choices)), [shorten(choice, 14) for choice in choices], parse_math=False)
            axes.set_xlim(-0.5, len(choices) - 0.5)
        axes.set_xlabel(shorten(name, 36))
        if place % COLUMNS:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel(measure.axis_label)

    handles, labels = top.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    table = trials.copy()
    table.insert(list(trials.columns).index("value") + 1, "best_so_far", best_so_far)
    return figure, table
