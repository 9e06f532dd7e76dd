"""How good each model and ensemble is, seed by seed."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from graft.figures.style import (
    MEASURES,
    label,
    legend_below,
    letters,
    look,
    new_figure,
    palette,
    percent_axis,
    points,
    shorten,
    text_scale,
)


@look()
def model_comparison(
    runs: pd.DataFrame, ensembles: pd.DataFrame, metric: str, title: str
) -> tuple[Figure, pd.DataFrame]:
    """A light dot for each seed, a strong one for the mean of a model or for an ensemble, and a bar for mean ± sd.

    ``runs`` (columns ``model``, ``seed``, ``images`` and ``metric``) and ``ensembles`` (``ensemble``, ``images``,
    ``metric``; may be empty) are rows of one data set and one split. The best mean is on top. The table has a row per
    run and ensemble: ``kind``, ``name``, ``seed``, ``value``, and of its model ``mean``, ``sd`` and ``seeds``.
    """
    measure, (of_model, of_ensemble) = MEASURES[metric], palette().colours[:2]
    parts = [runs.assign(kind="model", name=runs["model"])]
    if len(ensembles):
        parts.append(ensembles.assign(kind="ensemble", name=ensembles["ensemble"], seed=None))
    table = pd.concat([part[["kind", "name", "seed", metric]].astype({"seed": "Int64"}) for part in parts])
    table = table.rename(columns={metric: "value"}).reset_index(drop=True)
    groups = table.groupby(["kind", "name"], sort=False)
    table["mean"], table["sd"] = groups["value"].transform("mean"), groups["value"].transform("std")
    table["seeds"] = groups["seed"].transform("nunique")
    table = table.sort_values(["mean", "name", "seed"], ascending=[not measure.higher, True, True], ignore_index=True)

    rows = table.groupby(["kind", "name"], sort=False).first()
    figure = new_figure(title, height=1.35 + 0.32 * text_scale() * len(rows))
    axes = figure.subplots()
    scale = 100 if measure.percent else 1
    digits = 3 if not measure.percent else 2 if runs["images"].max() >= 5000 else 1
    for place, row in enumerate(rows.reset_index().to_dict("records")):
        ensemble = row["kind"] == "ensemble"
        colour = of_ensemble if ensemble else of_model
        text = f"{row['mean'] * scale:.{digits}f}"
        if pd.notna(row["sd"]):
            seeds = runs.loc[runs["model"] == row["name"], metric]
            axes.plot(seeds, [place] * len(seeds), "o", ms=7, mew=0, color=colour, alpha=0.3)
            axes.plot([row["mean"] - row["sd"], row["mean"] + row["sd"]], [place, place], color=colour, lw=2)
            text += f" ± {row['sd'] * scale:.{digits}f}"
        axes.plot(row["mean"], place, "D" if ensemble else "o", ms=6, mew=0, color=colour)
        axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=points(8))
    axes.set_yticks(range(len(rows)), [shorten(str(name), letters(32, 24)) for _, name in rows.index], parse_math=False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    said = "{measure}, higher is better" if measure.higher else "{measure}, lower is better"
    axes.set_xlabel(label(said, measure=measure.axis_label))
    if measure.percent:
        percent_axis(axes.xaxis)

    single = Line2D([], [], color=of_model, marker="o", ms=6, mew=0, ls="")
    if table["sd"].notna().any():
        seed = Line2D([], [], color=of_model, marker="o", ms=7, mew=0, ls="", alpha=0.3)
        mean = Line2D([], [], color=of_model, marker="o", ms=6, mew=0, lw=2)
        handles = {label("one seed"): seed, label("mean ± sd over seeds"): mean}
    else:
        handles = {label("model, one seed"): single}
    if len(ensembles):
        handles[label("ensemble")] = Line2D([], [], color=of_ensemble, marker="D", ms=6, mew=0, ls="")
    legend_below(figure, list(handles.values()), list(handles), most=3)
    return figure, table
