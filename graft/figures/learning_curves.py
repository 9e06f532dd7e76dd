"""How training went, epoch by epoch: loss and accuracy of the training and the validation split."""

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from graft.figures.style import (
    GREY,
    colours,
    label,
    legend_below,
    log_axis_if_wide,
    look,
    narrow,
    new_figure,
    percent_axis,
    text_scale,
)

DASHES = (0, (3, 1.5))
MOST_COLUMNS = 6


@look()
def learning_curves(histories: Mapping[int, pd.DataFrame], title: str) -> tuple[Figure, pd.DataFrame]:
    """Loss (logarithmic if it spans much) and accuracy by epoch, one colour per seed.

    ``histories`` holds, by seed, a row per epoch: ``epoch`` and any of ``loss``, ``accuracy``, ``val_loss``,
    ``val_accuracy``, ``learning_rate``. The table is all of them, with the column ``seed`` in front.
    """
    table = pd.concat([history.assign(seed=seed) for seed, history in histories.items()], ignore_index=True)
    table = table[["seed", *table.columns.drop("seed")]]
    drawn = [name for name in ("loss", "accuracy") if {name, f"val_{name}"} & set(table.columns)]

    seeds = dict(zip(histories, colours(len(histories)), strict=True))
    handles = [
        Line2D([], [], color=GREY, label=label("validation")),
        Line2D([], [], color=GREY, ls=DASHES, lw=1.0, label=label("training")),
        *(Line2D([], [], color=colour, lw=3, label=label("seed {seed}", seed=seed)) for seed, colour in seeds.items()),
    ]
    columns = min(len(handles), MOST_COLUMNS)
    lines = len(drawn) if narrow() else 1
    legend_rows = math.ceil(len(handles) / columns)
    figure = new_figure(title, height=0.8 + 2.1 * lines + 0.2 * text_scale() * legend_rows)
    panels = figure.subplots(lines, len(drawn) // lines, squeeze=False).flat
    for axes, name in zip(panels, drawn, strict=True):
        for column, style in ((name, {"ls": DASHES, "lw": 1.0, "alpha": 0.65}), (f"val_{name}", {})):
            for seed, history in histories.items():
                if column in history:
                    marker = "o" if len(history) == 1 else ""
                    axes.plot(history["epoch"], history[column], marker=marker, ms=4, color=seeds[seed], **style)
        axes.set_xlabel(label("Epoch"))
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
        if name == "accuracy":
            axes.set_ylabel(label("Accuracy (%)"))
            percent_axis(axes.yaxis)
        else:
            axes.set_ylabel(label("Loss"))
            log_axis_if_wide(axes, "y", table.filter(regex="^(val_)?loss$").to_numpy(float))

    texts = [str(handle.get_label()) for handle in handles]
    legend_below(figure, handles, texts, most=columns, columnspacing=1.5)
    return figure, table
