"""What a hyperparameter search tried, and what came of it: Optuna's plots, in the look of the other figures."""

import json
import math
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import matplotlib
import numpy as np
import optuna
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution, json_to_distribution
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)
from optuna.trial import FrozenTrial, TrialState, create_trial
from optuna.visualization.matplotlib import (
    plot_intermediate_values,
    plot_optimization_history,
    plot_parallel_coordinate,
    plot_slice,
)

from graft.figures.style import (
    GREY,
    MEASURES,
    full_width,
    label,
    legend_below,
    letters,
    log_axis_if_wide,
    look,
    narrow,
    new_figure,
    palette,
    percent_axis,
    points,
    put_title,
    ramp,
    shorten,
    text_scale,
)

KNOWN = ("trial", "state", "value", "epochs", "start")
"""Columns of trials.csv that are no parameter."""
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
COLUMNS = 3
ABSENT = "\N{EN DASH}"
LEGEND = ("complete trial", "pruned trial", "best so far", "best trial")
MANY_AXES = 6
MOST_LETTERS = 24  # below a panel, on one line
FEWEST_FOR_IMPORTANCE = 10
MOST_FOR_FANOVA = 500  # its time grows with their square: 6 s for 500, over a minute for 2,000
MOST_VECTORS = 1000  # beyond, what is drawn per trial is pixels in the SVG too, which would have many megabytes


class Search(NamedTuple):
    """A search: as Optuna's plots take it, and as a table, a row per trial, with the values as they were written."""

    study: optuna.Study
    trials: pd.DataFrame
    metric: str

    @property
    def complete(self) -> list[FrozenTrial]:
        """Trials that came to their end with a finite value."""
        trials = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [trial for trial in trials if math.isfinite(_value(trial))]

    @property
    def pruned(self) -> list[FrozenTrial]:
        """Pruned trials whose last value is finite."""
        trials = self.study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
        return [trial for trial in trials if trial.values and math.isfinite(_value(trial))]

    @property
    def best(self) -> FrozenTrial | None:
        """Of the complete trials, the first with the best value."""
        sign = -1 if MEASURES[self.metric].higher else 1
        return min(self.complete, key=lambda trial: sign * _value(trial), default=None)

    @property
    def parameters(self) -> list[str]:
        """Every parameter that a trial has, in the order of the table."""
        return [name for name in self.trials.columns.drop(list(KNOWN)) if (self.trials[name] != "").any()]


def _value(trial: FrozenTrial) -> float:
    return float(cast(float, trial.value))


# -- a search from its files ---------------------------------------------------------------------------------------------


def _choice(choices: tuple[Any, ...], text: str) -> Any:
    for choice in choices:
        if text == ("null" if choice is None else str(choice)):
            return choice
    numbers = [choice for choice in choices if isinstance(choice, int | float) and not isinstance(choice, bool)]
    return min(numbers, key=lambda choice: abs(choice - float(text)))  # written with nine digits


def _parsed(distribution: BaseDistribution, text: str) -> Any:
    """A value as it stands in a CSV file, which has fewer digits, as one that the distribution has."""
    if isinstance(distribution, CategoricalDistribution):
        return _choice(distribution.choices, text)
    ends = cast(Any, distribution)
    number = float(text)
    if ends.step:
        number = ends.low + round((number - ends.low) / ends.step) * ends.step
    number = min(max(number, ends.low), ends.high)
    return round(number) if isinstance(distribution, IntDistribution) else number


def rebuilt(trials: pd.DataFrame, values: pd.DataFrame, described: Mapping[str, Any]) -> Search:
    """A search from its files, without the storage that it ran in.

    ``trials`` has a row per trial, every cell as text: ``trial`` (its number), ``state`` (``complete`` or ``pruned``),
    ``value`` of the metric (of a pruned trial its last; may be empty), ``epochs``, ``start``, and a column per parameter,
    empty where a trial does not have it. ``values`` has ``trial``, ``epoch`` and ``value``, as numbers. ``described`` has
    ``metric``, ``direction``, and ``distributions`` by parameter, as Optuna writes them in JSON.
    """
    found = {name: json_to_distribution(json.dumps(plain)) for name, plain in described["distributions"].items()}
    table = trials.astype({"trial": int}).sort_values("trial", ignore_index=True)
    table["value"] = pd.to_numeric(table["value"])
    reported = {
        number: dict(zip(part["epoch"].tolist(), part["value"].tolist(), strict=True))
        for number, part in values.groupby("trial")
    }

    def trial(row: Mapping[Any, Any]) -> FrozenTrial:
        params = {name: _parsed(found[name], row[name]) for name in found if row[name] != ""}
        return create_trial(
            state=STATES[row["state"]],
            value=None if math.isnan(row["value"]) else row["value"],
            params=params,
            distributions={name: found[name] for name in params},
            intermediate_values=reported.get(row["trial"], {}),
        )

    numbered = {row["trial"]: trial(row) for row in table.to_dict("records")}
    failed = create_trial(state=TrialState.FAIL)  # Optuna counts them too
    with _quiet():
        study = optuna.create_study(direction=described["direction"])
        study.add_trials([numbered.get(number, failed) for number in range(max(numbered, default=-1) + 1)])
    return Search(study, table, described["metric"])


# -- Optuna's plots as ours ----------------------------------------------------------------------------------------------


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna says nothing: not that a study was made, and not that its plots may change."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)


def _drawn(plot: Callable[[optuna.Study], Any], search: Search, title: str, height: float) -> tuple[Figure, list[Axes]]:
    """A plot of Optuna's, and its panels, in our look: without its titles and legends, grids and ticks on all panels."""
    matplotlib.use("agg")
    theirs = matplotlib.style.library["ggplot"]
    matplotlib.style.library["ggplot"] = matplotlib.RcParams()  # which the plots ask for
    try:
        with _quiet():
            axes = plot(search.study)
    finally:
        matplotlib.style.library["ggplot"] = theirs
    panels = list(np.ravel(axes))
    figure = cast(Figure, panels[0].figure)
    plt.close(figure)
    for each in panels:
        each.set_title("")
        if legend := each.get_legend():
            legend.remove()
    figure.set_layout_engine("constrained")
    figure.set_size_inches(full_width(), height)
    put_title(figure, title)
    return figure, panels


def _rasterise(artist: Artist, search: Search) -> None:
    artist.set_rasterized(len(search.trials) > MOST_VECTORS)


def _in_words(title: str, sentence: str) -> Figure:
    figure = new_figure(title, height=1.1)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.text(0, 0.6, textwrap.fill(sentence, letters(90)), color=GREY)
    return figure


def _mark(axes: Axes, search: Search, x: Callable[[FrozenTrial], Any]) -> None:
    """Pruned trials hollow and the best one as a star, where ``x``, their place, is not None."""
    pruned = [(x(trial), _value(trial)) for trial in search.pruned if x(trial) is not None]
    hollow: dict[str, Any] = {"ms": 4.5, "mfc": "white", "mec": GREY, "mew": 1, "zorder": 1.5}
    if pruned:
        (drawn,) = axes.plot(*zip(*pruned, strict=True), "o", label=label("pruned trial"), **hollow)
        _rasterise(drawn, search)
    if search.best is not None and x(search.best) is not None:
        star: dict[str, Any] = {"ms": 12, "mec": "white", "mew": 0.6, "color": palette().colours[1], "zorder": 4}
        axes.plot([x(search.best)], [_value(search.best)], "*", label=label("best trial"), **star)


def _scale_y(axes: Axes, metric: str, values: np.ndarray) -> None:
    if MEASURES[metric].percent:
        percent_axis(axes.yaxis)
    else:
        log_axis_if_wide(axes, "y", values)


def _whole_numbers(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def _log_ticks(low: float, high: float, most: int) -> tuple[list[float], list[str]]:
    """Powers of ten that are a part in ``most`` of the axis apart, or, where it spans few, even steps; and their labels."""
    ends = math.log10(low), math.log10(high)
    powers = range(math.ceil(ends[0]), math.floor(ends[1]) + 1, math.ceil((ends[1] - ends[0]) / most) or 1)
    steps = np.geomspace(low, high, most if low < high else 1).tolist()
    ticks = [10.0**power for power in powers] if high / low > 100 else steps
    return ticks, [f"{tick:.2g}" if tick < 10 else f"{tick:.0f}" for tick in ticks]


def _legend(figure: Figure, axes: Axes, order: Sequence[str] = ()) -> None:
    order = order or [label(text) for text in LEGEND]
    handles = {text: handle for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    shown = {text: handles[text] for text in order if text in handles}
    legend = legend_below(figure, list(shown.values()), list(shown), most=len(order))
    plt.setp(legend.legend_handles, alpha=1)


def _wrapped(path: str, width: int) -> str:
    """A path over lines of at most ``width`` characters, which end behind a dot where they can."""
    lines = textwrap.wrap(shorten(path, 3 * width).replace(".", ". "), width)
    return "\n".join(line.replace(". ", ".") for line in lines)


def _written(choice: Any, length: int = 16) -> str:
    """A choice as a short label: its end if it is long, and lists and mappings, which are JSON, without brackets."""
    text = str(choice)
    text = shorten(re.sub(r'[{}"\[\]]', "", text) if text[:1] in ("{", "[") else text, 200)
    return text if len(text) <= length else f"…{text[1 - length :]}"


# -- figures -------------------------------------------------------------------------------------------------------------


@look()
def tuning_history(search: Search, title: str) -> tuple[Figure, pd.DataFrame]:
    """The value of each trial, and the best so far. The table is ``trials`` with ``best_so_far`` behind ``value``."""
    measure, table = MEASURES[search.metric], search.trials.copy()
    complete = table["value"].where(table["state"] == "complete")
    table.insert(
        [*table.columns].index("value") + 1,
        "best_so_far",
        (complete.cummax() if measure.higher else complete.cummin()).ffill(),
    )
    if not search.complete:
        return _in_words(title, label("No trial came to its end.")), table
    figure, (axes,) = _drawn(plot_optimization_history, search, title, height=3.4)
    dots, (line,), (single, best) = cast(PathCollection, axes.collections[0]), axes.lines, palette().colours[:2]
    dots.set(color=single, sizes=[25], linewidths=0, alpha=0.8, label=label("complete trial"))
    line.set(color=best, lw=1.2, alpha=1, drawstyle="steps-post", label=label("best so far"))
    _mark(axes, search, lambda trial: trial.number)
    _scale_y(axes, search.metric, table["value"].to_numpy(float))
    axes.set(xlabel=label("Trial"), ylabel=measure.axis_label)
    _whole_numbers(axes)
    _rasterise(dots, search)
    _legend(figure, axes)
    return figure, table


def _place(name: str) -> Callable[[FrozenTrial], Any]:
    """Where Optuna's slice plot has a trial on the axis of a parameter: at its value, or at what Python calls it."""

    def place(trial: FrozenTrial) -> Any:
        if name not in trial.params:
            return None
        categorical = isinstance(trial.distributions[name], CategoricalDistribution)
        return repr(trial.params[name]) if categorical else trial.params[name]

    return place


def _slice_x_axis(axes: Axes, search: Search, name: str) -> None:
    trials = [trial for trial in (*search.complete, *search.pruned) if name in trial.params]
    distribution = trials[0].distributions[name]
    if isinstance(distribution, CategoricalDistribution):
        named = {repr(choice): _written(choice) for choice in distribution.choices}
        ticks = axes.xaxis.get_major_locator()()
        labels = [named[text] for text in axes.xaxis.get_major_formatter().format_ticks(list(ticks))]
        axes.set_xticks(ticks, labels, parse_math=False)
        axes.set_xlim(-0.5, len(labels) - 0.5)
        if len(labels) * max(map(len, labels)) > MOST_LETTERS:
            axes.tick_params("x", rotation=25)
            plt.setp(axes.get_xticklabels(), horizontalalignment="right", rotation_mode="anchor")
        return
    axes.set_xlim(auto=True)
    axes.autoscale(axis="x")
    if axes.get_xscale() == "log":
        values = [trial.params[name] for trial in trials]
        axes.set_xticks(*_log_ticks(min(values), max(values), 2 if narrow() else 3))
        axes.xaxis.set_minor_locator(NullLocator())


@look()
def tuning_slice(search: Search, title: str) -> tuple[Figure, pd.DataFrame]:
    """The value of each trial against each parameter, the later the darker. The table is ``trials``."""
    names = sorted({name for trial in search.complete for name in trial.params})
    if not names:
        return _in_words(title, label("No trial came to its end.")), search.trials
    across = 2 if narrow() else COLUMNS
    columns, room = min(across, len(names)), letters(26 * COLUMNS // across)
    lines = math.ceil(len(names) / columns)
    matplotlib.rcParams["figure.constrained_layout.use"] = True  # colour bars are made for one layout
    figure, panels = _drawn(plot_slice, search, title, height=1.2 + 2.0 * lines)
    grid = figure.add_gridspec(lines, columns)
    measure = MEASURES[search.metric].axis_label
    for place, (axes, name) in enumerate(zip(panels, names, strict=True)):
        dots = cast(PathCollection, axes.collections[0])
        dots.set(sizes=[25], linewidths=0, cmap=ramp(), clim=(0, search.trials["trial"].max()))
        _mark(axes, search, _place(name))
        _slice_x_axis(axes, search, name)
        _scale_y(axes, search.metric, search.trials["value"].to_numpy(float))
        _rasterise(dots, search)
        axes.set_subplotspec(grid[place // columns, place % columns])
        axes.set(xlabel=_wrapped(name, room), ylabel="" if place % columns else measure)
        axes.tick_params(labelleft=place % columns == 0)
    panels[0].plot([], [], "o", ms=5, mew=0, color=palette().colours[0], label=label("complete trial"))
    dots = cast(Any, panels[-1].collections[0])
    dots.colorbar.remove()
    figure.colorbar(dots, ax=panels, label=label("Trial"), aspect=20 * lines, ticks=MaxNLocator(5, integer=True))
    _legend(figure, panels[0])
    return figure, search.trials


@look()
def tuning_parallel_coordinates(search: Search, title: str) -> tuple[Figure, pd.DataFrame]:
    """A line per complete trial through its value and its parameters, the better the darker. The table is theirs."""
    table = search.trials[search.trials["state"] == "complete"].reset_index(drop=True)
    names = sorted({name for trial in search.complete for name in trial.params})
    if not names:
        return _in_words(title, label("No trial came to its end.")), table
    measure = MEASURES[search.metric]
    matplotlib.rcParams.update({"figure.constrained_layout.use": True, "axes.grid": False, "axes.spines.right": True})
    figure, (axes,) = _drawn(plot_parallel_coordinate, search, title, height=4.4)
    lines = cast(LineCollection, axes.collections[0])
    bar = cast(Any, lines).colorbar
    many = narrow() or len(names) > MANY_AXES
    axes.set_xticks(
        range(len(names) + 1), [measure.label, *(shorten(name, letters(36, 20)) for name in names)], parse_math=False
    )
    axes.tick_params("x", rotation=40, labelsize=points(7 if many else 8), length=0)
    plt.setp(axes.get_xticklabels(), horizontalalignment="right", rotation_mode="anchor")
    axes.spines["right"].set_visible(False)
    for twin, name in zip((each for each in figure.axes if each not in (axes, bar.ax)), names, strict=True):
        _style_parallel_axis(twin, search, name, many)
    values = np.asarray(lines.get_array())
    order = np.argsort(values if measure.higher else -values, kind="stable")  # the best is drawn last
    lines.set(segments=[lines.get_segments()[place] for place in order], array=values[order])
    best, (single, emphasis) = lines.get_segments()[-1], palette().colours[:2]
    axes.plot(best[:, 0], best[:, 1], color=emphasis, lw=2, label=label("best trial"))
    axes.plot([], [], color=single, lw=1, label=label("complete trial"))
    lines.set(linewidths=1, cmap=ramp() if measure.higher else ramp().reversed())
    _rasterise(lines, search)
    bar.set_label(measure.axis_label)
    if measure.percent:
        percent_axis(axes.yaxis)
        percent_axis(bar.ax.yaxis)
    elif values.min() > 0 and values.max() / values.min() > 30:
        lines.set_norm(LogNorm())
        ticks, labels = _log_ticks(values.min(), values.max(), 5)
        bar.set_ticks(ticks, labels=labels)
        bar.minorlocator = NullLocator()
    _legend(figure, axes)
    return figure, table


def _parallel_ticks(twin: Axes, search: Search, name: str, length: int) -> tuple[list[float], list[str]]:
    """Where the axis of a parameter has ticks, and what they say; one says that a trial does not have the parameter."""
    distributions = [trial.distributions.get(name) for trial in search.complete]
    found, missing = next(filter(None, distributions)), None in distributions
    if isinstance(found, CategoricalDistribution) or missing:
        ticks, labels = list(twin.get_yticks()), [text.get_text() for text in twin.get_yticklabels()]
        if isinstance(found, CategoricalDistribution):
            named = {str(choice): _written(choice, length) for choice in found.choices}
            labels = [named.get(text.removesuffix(" (value)"), text) for text in labels]
        return ticks, [ABSENT, *labels[1:]] if missing else labels
    values = [trial.params[name] for trial in search.complete]
    low, high = min(values), max(values)
    if twin.get_yscale() == "log":
        return _log_ticks(low, high, 6)
    ticks = [tick for tick in MaxNLocator(6).tick_values(low, high) if low <= tick <= high] if low < high else [low]
    return ticks, [f"{tick:g}" for tick in ticks]


def _style_parallel_axis(twin: Axes, search: Search, name: str, many: bool) -> None:
    ticks, labels = _parallel_ticks(twin, search, name, 9 if many else 16)
    twin.set_yticks(ticks, labels, parse_math=False)
    twin.yaxis.set_minor_locator(NullLocator())
    twin.tick_params("y", labelsize=points(6.5 if many else 8), pad=1.5, length=2)
    for text in twin.get_yticklabels():  # lines run through them
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.4})


EVALUATORS: dict[str, tuple[str, Callable[[], BaseImportanceEvaluator], int | None]] = {
    "fanova": ("fANOVA", lambda: FanovaImportanceEvaluator(seed=0), MOST_FOR_FANOVA),
    "ped_anova": ("PED-ANOVA", PedAnovaImportanceEvaluator, None),
}


def _importance(search: Search, evaluator: BaseImportanceEvaluator, most: int | None) -> dict[str, float]:
    """The shares of the parameters that an evaluator can judge; of many trials, ``most``, evenly from all the search."""
    trials = search.complete
    if most and len(trials) > most:
        trials = [trials[place] for place in np.linspace(0, len(trials) - 1, most).round().astype(int)]
    with _quiet():
        study = optuna.create_study(direction=search.study.direction)
        study.add_trials(trials)
        try:
            found = get_param_importances(study, evaluator=evaluator, normalize=False)
        except RuntimeError:  # fANOVA: no tree finds anything to tell trials apart by
            return {}
    # Of what is the same in all trials, fANOVA may find a share of rounding errors.
    varied = [name for name in found if len({repr(trial.params.get(name)) for trial in trials}) > 1]
    total = math.fsum(found[name] for name in varied)
    return {name: float(found[name]) / total if name in varied else 0.0 for name in found} if total > 0 else {}


def _lacking(search: Search) -> str:
    """Why importance cannot be told, if it cannot."""
    complete = len(search.complete)
    if complete < FEWEST_FOR_IMPORTANCE:
        text = "Importance takes {fewest} complete trials or more; this search has {complete}."
        return label(text, fewest=FEWEST_FOR_IMPORTANCE, complete=complete)
    if len({_value(trial) for trial in search.complete}) == 1:
        return label("All complete trials have the same value: no parameter mattered.")
    return ""


@look()
def tuning_importance(search: Search, title: str) -> tuple[Figure, pd.DataFrame]:
    """How much each parameter decides the value, by fANOVA and by PED-ANOVA, as shares of 1.

    The table has ``parameter``, ``fanova`` and ``ped_anova``. fANOVA says nothing of a parameter that not all complete
    trials have, and neither does where there are too few trials, or where they do not differ.
    """
    table = pd.DataFrame({"parameter": search.parameters})
    lacking = _lacking(search)
    for key, (_, evaluator, most) in EVALUATORS.items():
        found = {} if lacking else _importance(search, evaluator(), most)
        table[key] = [found.get(name, math.nan) for name in table["parameter"]]
    table["mean"] = table[[*EVALUATORS]].mean(axis=1)
    table = table.sort_values("mean", ascending=False, ignore_index=True, kind="stable").drop(columns="mean")
    if lacking:
        return _in_words(title, lacking), table
    figure = new_figure(title, height=1.1 + 0.42 * text_scale() * len(table))
    axes = figure.subplots()
    rows = np.arange(len(table))
    for place, ((key, (name, _, _)), colour) in enumerate(zip(EVALUATORS.items(), palette().colours[:2], strict=True)):
        y, shares = rows + 0.36 * (place - 0.5), table[key].to_numpy(float)
        axes.barh(y, shares, height=0.34, color=colour, label=name)
        for row, share in zip(y, shares, strict=True):
            told = None if math.isnan(share) else f"{100 * share:.0f}"
            text, grey = (told, None) if told else (label("not told by {evaluator}", evaluator=name), GREY)
            axes.annotate(
                text, (np.nan_to_num(share), row), (3, 0), textcoords="offset points", va="center", color=grey
            )
    axes.set_yticks(rows, [shorten(name, letters(36, 20)) for name in table["parameter"]], parse_math=False)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    axes.set(xlabel=label("Share of importance (%)"), xlim=(0, 1.06 * np.nanmax([*table[[*EVALUATORS]].max(), 0.1])))
    _legend(figure, axes, [name for name, _, _ in EVALUATORS.values()])
    return figure, table


@look()
def tuning_intermediate_values(search: Search, title: str) -> tuple[Figure, pd.DataFrame]:
    """The value after each epoch, a line per trial. The table has ``trial``, ``state``, ``epoch`` and ``value``."""
    trials = [trial for trial in search.study.get_trials(deepcopy=False) if trial.intermediate_values]
    rows = [
        (trial.number, trial.state.name.lower(), epoch, value)
        for trial in trials
        for epoch, value in sorted(trial.intermediate_values.items())
    ]
    table = pd.DataFrame(rows, columns=["trial", "state", "epoch", "value"])
    if not trials:
        return _in_words(title, label("No trial came to the end of an epoch.")), table
    figure, (axes,) = _drawn(plot_intermediate_values, search, title, height=3.8)
    best, colours = search.best.number if search.best else None, palette()
    alpha = min(0.7, max(0.1, 40 / len(trials)))
    drawn = {
        "pruned trial": {"color": colours.muted, "alpha": alpha, "lw": 0.8, "zorder": 2},
        "complete trial": {"color": colours.colours[0], "alpha": alpha, "lw": 0.8, "zorder": 2.1},
        "best trial": {"color": colours.colours[1], "alpha": 1, "lw": 2, "zorder": 3},
    }
    for line, trial in zip(axes.lines, trials, strict=True):
        name = "best trial" if trial.number == best else f"{trial.state.name.lower()} trial"
        epochs = len(trial.intermediate_values)
        line.set(**drawn[name], label=label(name), marker="")
        _rasterise(line, search)
        if epochs == 1 or trial.state is TrialState.PRUNED:
            line.set(marker="o", markersize=3.5, markevery=[epochs - 1])
    axes.set(xlabel=label("Epoch"), ylabel=MEASURES[search.metric].axis_label)
    _scale_y(axes, search.metric, table["value"].to_numpy(float))
    _whole_numbers(axes)
    _legend(figure, axes)
    return figure, table


FIGURES: dict[str, Callable[[Search, str], tuple[Figure, pd.DataFrame]]] = {
    "tuning_history": tuning_history,
    "tuning_importance": tuning_importance,
    "tuning_parallel_coordinates": tuning_parallel_coordinates,
    "tuning_intermediate_values": tuning_intermediate_values,
    "tuning_slice": tuning_slice,
}
"""The figures of a search by their kind."""

TITLES = {
    kind: "Search for {model} on {dataset}: " + kind.removeprefix("tuning_").replace("_", " ") for kind in FIGURES
}
