"""The report page: values in, one self-contained HTML file out, equal for equal values."""

import base64
import json
import math
import statistics
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from graft.report import text
from graft.report.card import describe

LABELS = {
    "model_comparison": "Models compared",
    "learning_curves": "Learning curves",
    "confusion_matrix": "Confusion matrix",
    "sample_grid": "Sample images",
    "tuning_history": "Tuning history",
    "tuning_importance": "Importance of the tuned parameters",
    "tuning_parallel_coordinates": "Tuned parameters together",
    "tuning_intermediate_values": "Trials by epoch",
    "tuning_slice": "Each tuned parameter on its own",
    "critical_difference": "Mean ranks over data sets",
    "growth": "Accuracy by number of members",
}
TUNING = tuple(kind for kind in LABELS if kind.startswith("tuning_"))
SAMPLERS = {
    "tpe": "TPE",
    "random": "random search",
    "grid": "grid search",
    "cmaes": "CMA-ES",
    "gp": "a Gaussian process",
}
PRUNERS = {"asha": "ASHA", "hyperband": "Hyperband"} | {
    name: f"the {name} rule" for name in ("median", "percentile", "threshold")
}
MOST_TRIALS, BEST_TRIALS = 200, 100
STAGES = {"features": "Features of frozen parts", "tune": "Tuning", "train": "Training"}
SPLITS = ("train", "validation", "test")
ACTIONS = {
    "left out": "left out of the study",
    "moved": "moved to the split of the copy",
    "reported": "kept, and reported here",
}
MOST_LEAKS, MOST_NAMES = 20, 10
METRICS = {"top1": "top-1", "top5": "top-5", "log_loss": "log loss"}
VERDICTS = {
    "higher": "ours is higher",
    "lower": "ours is lower",
    "not distinguishable": "not distinguishable",
    "": text.NOTHING,
}
LOSS_DIGITS = 3
MOST_MEMBERS, MOST_PAIRS, MATRIX_NAMES = 20, 50, 12
DIVERSITY = {
    "disagreement": "disagreement",
    "double_fault": "double fault",
    "q_statistic": "Q statistic",
    "correlation": "correlation",
}
MEASURES = {"val_loss": "validation loss", "val_accuracy": "validation accuracy"}

Record = Mapping[str, Any]


@dataclass(frozen=True)
class DataEntry:
    """A data set: its tables index, near and quarantine as :func:`~graft.report.card.describe` takes them, and what the
    study makes of it.

    ``splits`` has ``sample_id`` and ``split`` of the images that the study uses; ``leaks`` has ``sample_id``, ``split``,
    ``copy``, ``copy_split``, ``kind``, ``action``, ``source`` and ``copy_source`` of images with a copy in a split that
    is held out more. ``card`` and ``leaks_csv`` are the paths of the data card and that table, relative to the page.
    """

    dataset: str
    index: pd.DataFrame
    splits: pd.DataFrame
    near: pd.DataFrame
    quarantine: pd.DataFrame
    leaks: pd.DataFrame
    card: str
    leaks_csv: str


class FigureEntry(NamedTuple):
    """A figure: its kind (module of :mod:`graft.figures`), what it shows, its PNG, and its files relative to the page.

    ``name`` is the model or ensemble, and empty where the figure is about a whole data set. Of a ``critical_difference``,
    which is about all data sets, the metric stands for ``dataset``.
    """

    kind: str
    dataset: str
    name: str
    png: bytes
    caption: str
    files: list[str]


class TuningEntry(NamedTuple):
    """A search: what ``best.json`` and ``search.json`` say, and the table of trials.csv, whose path relative to the page is
    ``csv``.

    ``best`` has ``trial``, ``value`` and ``params``, and perhaps ``reruns``, each of which has these three and ``rerun``
    with ``values``, ``mean`` and ``std``. ``search`` has ``metric``, ``trials`` (how many were ``asked`` for, and how many
    are ``complete``, ``pruned`` and ``failed``), ``workers``, and ``sampler`` and ``pruner`` with a ``name`` and options.
    ``trials`` has ``trial``, ``state``, ``value``, ``epochs``, ``start``, and a column per parameter.
    """

    dataset: str
    model: str
    best: Record
    search: Record
    trials: pd.DataFrame
    csv: str


class RuntimeEntry(NamedTuple):
    """What a job cost: its stage (``train``, ``tune``, ``features``), what it made, and its runtime.json."""

    stage: str
    dataset: str
    name: str
    seed: int | None
    facts: Record


class EnsembleEntry(NamedTuple):
    """An ensemble: its ensemble.json, and its table of :func:`graft.statistics.diversity` if its method reads predictions.

    ``facts`` has ``method`` (a ``name`` and options) and ``members`` (each with ``member``, ``kind`` and ``weight``), and
    perhaps ``temperature``, ``fitted``, and ``best_member`` as :func:`graft.members.against_best` describes it.
    """

    dataset: str
    name: str
    facts: Record
    diversity: pd.DataFrame | None


class Comparisons(NamedTuple):
    """The tables of :mod:`graft.comparisons`, and their paths relative to the page."""

    pairs: pd.DataFrame
    ranks: pd.DataFrame
    pairs_csv: str
    ranks_csv: str


class _Picture(NamedTuple):
    """A figure as the page shows it."""

    alt: str
    source: str
    width: int
    height: int
    caption: str
    link: str
    files: list[tuple[str, str]]


# -- figures -------------------------------------------------------------------------------------------------------------


def _picture(figure: FigureEntry) -> _Picture:
    width, height = struct.unpack(">II", figure.png[16:24])  # the IHDR chunk comes first in every PNG
    label = LABELS.get(figure.kind, figure.kind.replace("_", " ").capitalize())
    files = [(Path(file).suffix[1:].upper(), file) for file in figure.files]
    about = METRICS.get(figure.dataset) if figure.kind == "critical_difference" else None
    return _Picture(
        alt=f"{label}: {figure.name + ' on ' if figure.name else ''}{about or figure.dataset}",
        source=f"data:image/png;base64,{base64.b64encode(figure.png).decode()}",
        width=width // 2,  # the figures' 200 dots an inch, on screens of about 100
        height=height // 2,
        caption=figure.caption,
        link=next((file for ending, file in files if ending == "PNG"), ""),
        files=files,
    )


def _pictures(figures: Iterable[FigureEntry], **where: str) -> list[_Picture]:
    return [_picture(f) for f in figures if all(getattr(f, field) == value for field, value in where.items())]


# -- data ----------------------------------------------------------------------------------------------------------------


def _leaks(leaks: pd.DataFrame, used: pd.Series) -> dict[str, Any]:
    """The leaks that were settled by leaving an image out, and those between images that the study still uses."""
    both = leaks["sample_id"].isin(used) & leaks["copy"].isin(used)
    by = ["kind", "copy_split", "split", "action"]
    shown = leaks[both | (leaks["action"] == "left out")].sort_values(by, kind="stable")
    shown = shown.assign(action=shown["action"].map(ACTIONS))
    return {
        "counts": shown.groupby(by).size().reset_index(name="images").to_dict("records"),
        "rows": shown.head(MOST_LEAKS).to_dict("records"),
        "more": max(len(shown) - MOST_LEAKS, 0),
    }


def _left_out(entry: DataEntry) -> dict[str, Any]:
    images = len(entry.index) - len(entry.splits)
    copies = int((entry.leaks["action"] == "left out").sum())
    chosen = images - copies
    reasons = [
        (copies, "as copies of images that are held out"),
        (chosen, "by the study's choice of classes and numbers"),
    ]
    return {"images": images, "reasons": [(f"{number:,}", reason) for number, reason in reasons if number]}


def _data(entry: DataEntry, figures: Sequence[FigureEntry]) -> dict[str, Any]:
    """The description of the images that a study uses, by its own splits, and what it did to get there."""
    split = entry.index["sample_id"].map(entry.splits.set_index("sample_id")["split"])
    used = entry.index.assign(split=split)[split.notna()]
    described = describe(used, entry.near, entry.quarantine, SPLITS)
    without = described["classes"]["without"]
    return {
        **described,
        "dataset": entry.dataset,
        "lacking": {
            name: {"count": len(names), "first": names[:MOST_NAMES], "more": max(len(names) - MOST_NAMES, 0)}
            for name, names in without.items()
            if names
        },
        "left_out": _left_out(entry),
        "leaks": _leaks(entry.leaks, used["sample_id"]),
        "pictures": _pictures(figures, kind="sample_grid", dataset=entry.dataset),
        "card": entry.card,
        "leaks_csv": entry.leaks_csv,
    }


# -- results -------------------------------------------------------------------------------------------------------------


def _scores(row: Record | None, images: int, suffix: str = "") -> dict[str, str]:
    """Every metric of a row as text; ``suffix`` is ``_mean`` where the row has standard deviations."""
    row, digits = row or {}, text.decimals(images)

    def show(metric: str, digits: int, scale: float) -> str:
        return text.mean_sd(row.get(f"{metric}{suffix}"), row.get(f"{metric}_sd"), digits, scale)

    shares = {metric: show(metric, digits, 100) for metric in ("top1", "top5", "calibration_error")}
    return shares | {"log_loss": show("log_loss", 3, 1)}


def _costs(runtimes: Sequence[RuntimeEntry], dataset: str, model: str) -> dict[str, str]:
    facts = [r.facts for r in runtimes if (r.stage, r.dataset, r.name) == ("train", dataset, model)]
    parameters = next((f["parameters"] for f in facts if f.get("parameters")), None)
    seconds = [f["wall_seconds"] for f in facts if "wall_seconds" in f]
    return {
        "parameters": f"{parameters['total']:,}" if parameters else text.NOTHING,
        "trainable": f"{parameters['trainable']:,}" if parameters else text.NOTHING,
        "seconds": text.duration(statistics.fmean(seconds)) if seconds else text.NOTHING,
    }


def _reduced(limits: Mapping[str, Any]) -> list[str]:
    """What a reduced variant of a study has less of, in words."""
    units = {
        "images_per_class": ("image", " of a class in each split"),
        **{key: (key.removesuffix("s"), "") for key in ("epochs", "seeds", "trials")},
    }
    most = [f"at most {text.counted(limits[key], unit)}{rest}" for key, (unit, rest) in units.items() if key in limits]
    return [*(["some of its models"] if "models" in limits else []), *most]


def _records(table: pd.DataFrame) -> list[Record]:
    return [{str(column): value for column, value in row.items()} for row in table.to_dict("records")]


def _by_split(rows: Iterable[Record], dataset: str, key: str) -> dict[Any, dict[str, Record]]:
    """The rows of a data set by name, then by split, in their order."""
    found: dict[Any, dict[str, Record]] = {}
    for row in rows:
        if row["dataset"] == dataset:
            found.setdefault(row[key], {})[row["split"]] = row
    return found


def _results(
    dataset: str, runs: list[Record], models: list[Record], ensembles: list[Record], runtimes: Sequence[RuntimeEntry]
) -> dict[str, Any]:
    """What the page says of one data set; the order, and which model is named first, follow the validation split."""
    singles, combined = _by_split(models, dataset, "model"), _by_split(ensembles, dataset, "ensemble")
    images = max((int(rows["test"]["images"]) for rows in (*singles.values(), *combined.values())), default=0)

    def rank(rows: Mapping[str, Record], column: str) -> float:
        value = float(rows.get("validation", {}).get(column, math.nan))
        return -math.inf if math.isnan(value) else value

    lines: list[dict[str, Any]] = []
    best = max((rank(rows, "top1_mean") for rows in singles.values()), default=-math.inf)
    for name, rows in singles.items():
        lines.append(
            {
                "name": name,
                "ensemble": None,
                "runs": int(rows["test"]["seeds"]),
                "rank": rank(rows, "top1_mean"),
                "chosen": rank(rows, "top1_mean") == best,
                "validation": _scores(rows.get("validation"), images, "_mean"),
                "test": _scores(rows["test"], images, "_mean"),
                **_costs(runtimes, dataset, name),
            }
        )
    for name, rows in combined.items():
        lines.append(
            {
                "name": name,
                "ensemble": rows["test"]["method"],
                "runs": rows["test"]["members"],
                "rank": rank(rows, "top1"),
                "chosen": False,
                "validation": _scores(rows.get("validation"), images),
                "test": _scores(rows["test"], images),
                **dict.fromkeys(("parameters", "trainable", "seconds"), text.NOTHING),
            }
        )
    lines.sort(key=lambda line: -line["rank"])
    each = _by_split(({**run, "run": (run["model"], run["seed"])} for run in runs), dataset, "run")
    return {
        "dataset": dataset,
        "images": images,
        "models": len(singles),
        "rows": lines,
        "chosen": [line for line in lines if line["chosen"]],
        "ensembles": [line for line in lines if line["ensemble"]],
        "spread": any(line["runs"] > 1 for line in lines if not line["ensemble"]),
        "runs": [
            {"model": model, "seed": seed, **{split: _scores(row, images) for split, row in rows.items()}}
            for (model, seed), rows in each.items()
        ],
    }


# -- ensembles -----------------------------------------------------------------------------------------------------------


def _between(low: float, high: float, write: Callable[[float], str]) -> str:
    """An interval, or nothing where there is none."""
    return "" if math.isnan(low) else f"{write(low)} to {write(high)}"


def _top1(row: Record, digits: int) -> dict[str, str]:
    """A top-1 accuracy in percent, and its interval."""
    low, high = (100 * row[f"top1_{end}"] for end in ("low", "high"))
    return {
        "value": text.mean_sd(row["top1"], None, digits, 100),
        "bounds": _between(low, high, lambda value: f"{value:.{digits}f}"),
    }


def _difference(row: Record, digits: int) -> dict[str, str]:
    """A difference of top-1 accuracies in points, and its interval."""
    low, high = (100 * row[f"difference_{end}"] for end in ("low", "high"))
    return {
        "value": _signed(100 * row["difference"], digits),
        "bounds": _between(low, high, lambda value: _signed(value, digits)),
    }


def _gain(best: Record | None, digits: int) -> dict[str, Any] | None:
    """What an ensemble gains over its best member, if that is known."""
    if not best:
        return None
    return {
        "member": best["member"],
        "top1": text.mean_sd(best["top1"], None, digits, 100),
        "difference": _difference(best, digits),
        "p": text.p_value(best["p"]),
    }


def _members(members: Sequence[Record]) -> dict[str, Any]:
    """The members of the largest weights, and what is left of them."""
    ordered = sorted(members, key=lambda member: -member["weight"])
    rest = ordered[MOST_MEMBERS:]
    return {
        "rows": [
            {**member, "weight": f"{member['weight']:.3f}" if member["weight"] else "0"}
            for member in ordered[:MOST_MEMBERS]
        ],
        "more": len(rest),
        "rest": f"{math.fsum(member['weight'] for member in rest):.3f}",
    }


def _fitted(facts: Record) -> list[str]:
    temperature = {"temperature": facts["temperature"]} if facts.get("temperature") is not None else {}
    found = {**temperature, **facts.get("fitted", {})}
    return [f"{key.replace('_', ' ')}: {_fact(value)}" for key, value in found.items()]


def _fact(value: Any) -> str:
    return json.dumps(value) if isinstance(value, list | dict) else text.number(value)


def _diversity(table: pd.DataFrame | None) -> dict[str, Any] | None:
    """The mean of each measure over the pairs of members for which it is defined, if there is a pair."""
    if table is None or table.empty:
        return None
    means = {name: pd.to_numeric(table[name]).mean() for name in DIVERSITY}
    shares = {name: text.mean_sd(means[name], None, 1, 100) for name in ("disagreement", "double_fault")}
    shown = {name: f"{share}{text.SPACE}%" for name, share in shares.items()}
    shown |= {name: _signed(means[name], 2) for name in ("q_statistic", "correlation")}
    return {"pairs": len(table), "means": [f"{label} {shown[name]}" for name, label in DIVERSITY.items()]}


def _ensembles(
    dataset: str, entries: Sequence[EnsembleEntry], table: list[Record], figures: Sequence[FigureEntry]
) -> dict[str, Any]:
    """The ensembles of a data set, in their order: what they are of, and what they gain over their best member."""
    tested = {row["ensemble"]: row for row in table if (row["dataset"], row["split"]) == (dataset, "test")}
    digits = text.decimals(max((int(row["images"]) for row in tested.values()), default=0))
    return {
        "dataset": dataset,
        "rows": [
            {
                "name": entry.name,
                "method": entry.facts["method"]["name"],
                "described": _chooser(entry.facts["method"], {}),
                "count": len(entry.facts["members"]),
                "top1": _top1(tested[entry.name], digits),
                "gain": _gain(entry.facts.get("best_member"), digits),
                "members": _members(entry.facts["members"]),
                "fitted": _fitted(entry.facts),
                "diversity": _diversity(entry.diversity),
                "pictures": _pictures(figures, kind="growth", dataset=dataset, name=entry.name),
            }
            for entry in entries
            if entry.dataset == dataset
        ],
    }


# -- statistics ----------------------------------------------------------------------------------------------------------


def _matrix(pairs: list[Record], names: Sequence[str], digits: int) -> list[dict[str, Any]]:
    """A row for each name: its top-1 accuracy, and how far it is above each of the others."""
    values: dict[str, float] = {}
    cells: dict[tuple[str, str], dict[str, Any]] = {}
    for pair in pairs:
        ends = pair["first"], pair["second"]
        apart = pair["verdict"] in ("higher", "lower")
        for (one, two), sign in ((ends, 1), (ends[::-1], -1)):
            cells[one, two] = {"difference": _signed(sign * 100 * pair["difference"], digits), "apart": apart}
        values |= {pair["first"]: pair["first_value"], pair["second"]: pair["second_value"]}
    return [
        {
            "name": name,
            "value": text.mean_sd(values[name], None, digits, 100),
            "cells": [cells.get((name, other)) for other in names],
        }
        for name in names
    ]


def _compared(dataset: str, table: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """What the tests of all pairs of a data set say; ``names`` are in the order of the page."""
    top1 = table[table["metric"] == "top1"].sort_values(["p_holm", "p"], kind="stable")
    pairs = _records(top1)
    images = int(top1["images"].max())
    digits = text.decimals(images)
    told = {metric: part["verdict"].isin(["higher", "lower"]).sum() for metric, part in table.groupby("metric")}
    return {
        "dataset": dataset,
        "images": images,
        "names": names,
        "pairs": len(pairs),
        "told": [f"{told[metric]:,} by {METRICS[metric]}" for metric in METRICS if metric in told],
        "averaged": bool((top1[["first_seeds", "second_seeds"]] > 1).any(axis=None)),
        "matrix": _matrix(pairs, names, digits) if len(names) <= MATRIX_NAMES else [],
        "rows": [
            {
                **{name: pair[name] for name in ("first", "second", "verdict")},
                **{name: text.mean_sd(pair[name], None, digits, 100) for name in ("first_value", "second_value")},
                "difference": _difference(pair, digits),
                "p": text.p_value(pair["p_holm"]),
            }
            for pair in pairs[:MOST_PAIRS]
        ],
        "more": max(len(pairs) - MOST_PAIRS, 0),
    }


def _ranks(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Friedman's test of each metric that names are ranked by."""
    return [
        {
            "metric": METRICS[str(metric)],
            **{name: int(part.iloc[0][name]) for name in ("datasets", "names")},
            "p": text.p_value(part.iloc[0]["p"]),
            "critical_difference": f"{part.iloc[0]['critical_difference']:.2f}",
        }
        for metric, part in table.groupby("metric", sort=False)
    ]


def _statistics(
    comparisons: Comparisons | None, results: Sequence[Record], figures: Sequence[FigureEntry]
) -> dict[str, Any] | None:
    """The tests of pairs by data set, and the ranks over data sets, if anything was compared."""
    if comparisons is None or comparisons.pairs.empty:
        return None
    order = {it["dataset"]: [line["name"] for line in it["rows"]] for it in results}
    return {
        "datasets": [
            _compared(str(dataset), part, order[str(dataset)])
            for dataset, part in comparisons.pairs.groupby("dataset", sort=False)
        ],
        "ranks": _ranks(comparisons.ranks),
        "pictures": _pictures(figures, kind="critical_difference"),
        "pairs_csv": comparisons.pairs_csv,
        "ranks_csv": comparisons.ranks_csv,
    }


# -- published figures ---------------------------------------------------------------------------------------------------


def _as_given(value: float, most: int) -> str:
    """A number that others rounded: no more decimals than they gave, and ``most`` at most."""
    return f"{value:.{most}f}".rstrip("0").rstrip(".")


def _signed(value: float, digits: int) -> str:
    if math.isnan(value):
        return text.NOTHING
    return "+∞" if math.isinf(value) else f"{value:+z.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _beside(row: Record, digits: int) -> dict[str, str]:
    """A published number beside ours; shares have ``digits`` decimals."""
    share = row["metric"] != "log_loss"
    scale, digits, most = (100, digits, 2) if share else (1, LOSS_DIGITS, LOSS_DIGITS)

    def bounds(prefix: str, write: Callable[[float], str]) -> str:
        return _between(scale * row[f"{prefix}low"], scale * row[f"{prefix}high"], write)

    return {
        "label": f"{row['split'].capitalize()} {METRICS[row['metric']]}",
        "unit": "%" if share else "nats",
        "published": _as_given(scale * row["published"], most),
        "bounds": bounds("", lambda value: f"{value:.{digits}f}"),
        "ours": text.mean_sd(row["ours"], row["ours_sd"], digits, scale),
        "difference": _signed(scale * row["difference"], digits),
        "difference_bounds": bounds("difference_", lambda value: _signed(value, digits)),
        "verdict": VERDICTS[row["verdict"]],
        **{name: _count(row[name]) for name in ("images", "our_images")},
    }


def _count(number: float) -> str:
    return text.NOTHING if math.isnan(number) else text.grouped(int(number))


def _published(table: pd.DataFrame) -> list[dict[str, Any]]:
    """By data set, the figures of each model or ensemble, every number beside ours."""
    return [
        {
            "dataset": dataset,
            "figures": [
                {"name": name, "remark": remark, "rows": [_beside(row, digits) for row in _records(rows)]}
                for (name, remark), rows in part.groupby(["name", "remark"], sort=False)
            ],
        }
        for dataset, part in table.groupby("dataset", sort=False)
        for digits in [text.decimals(int(part["our_images"].fillna(0).max()))]
    ]


# -- tuning --------------------------------------------------------------------------------------------------------------


def _plain(value: Any) -> str:
    """The value of a parameter, which may be a list, a mapping or null."""
    return json.dumps(value) if value is None or isinstance(value, list | dict) else text.number(value)


def _chooser(described: Record, names: Mapping[str, str]) -> str:
    """A sampler or a pruner, with the options that were set."""
    options = [f"{key}: {_plain(value)}" for key, value in described.items() if key != "name" and value is not None]
    name = names.get(described["name"], described["name"])
    return f"{name} ({', '.join(options)})" if options else name


def _saved(trials: pd.DataFrame) -> dict[str, str] | None:
    """The epochs that pruned trials did not run, if each were as long as complete ones are in the mean."""
    pruned, whole = trials["state"] == "pruned", trials["epochs"][trials["state"] == "complete"].mean()
    saved = (whole - trials["epochs"][pruned]).clip(lower=0).sum()
    if not saved > 0:
        return None
    total = trials["epochs"].sum() + saved
    return {
        "epochs": text.counted(round(saved), "epoch"),
        "share": text.percent(saved / total),
        "whole": f"{whole:.3g}",
    }


def _reruns(best: Record, percent: bool) -> list[dict[str, Any]]:
    """Of each trial that was run again, its value in the search beside those of its re-runs."""
    digits, scale = (2, 100) if percent else (4, 1)

    def row(trial: Record) -> dict[str, Any]:
        again = trial["rerun"]
        return {
            "trial": trial["trial"],
            "chosen": trial["trial"] == best["trial"],
            "tuned": text.mean_sd(trial["value"], None, digits, scale),
            "again": text.mean_sd(again["mean"], again["std"], digits, scale),
            "runs": len(again["values"]),
            "difference": _signed(scale * (again["mean"] - trial["value"]), digits),
        }

    return [row(trial) for trial in best.get("reruns", [])]


def _trials(entry: TuningEntry) -> dict[str, Any]:
    """The table of trials, or of the best of very many."""
    trials, many = entry.trials, len(entry.trials) > MOST_TRIALS
    if many:
        up = entry.search["direction"] == "maximize"
        ranked = trials.sort_values("value", ascending=not up, kind="stable")
        trials = ranked.sort_values("state", kind="stable").head(BEST_TRIALS)  # complete ones first
    shown = trials.drop(columns="start")
    return {
        "many": many,
        "columns": list(shown.columns),
        "rows": [
            {
                "best": row["trial"] == entry.best["trial"],
                "start": start,
                "cells": [text.number(v) for v in row.values()],
            }
            for row, start in zip(shown.to_dict("records"), trials["start"], strict=True)
        ],
    }


def _tuning(entry: TuningEntry, figures: Sequence[FigureEntry]) -> dict[str, Any]:
    percent = entry.search["metric"] == "val_accuracy"
    value = float(entry.best["value"])
    counts = entry.search["trials"]
    states = {"complete": counts["complete"], "pruned": counts["pruned"]}
    states["not begun"] = counts["asked"] - sum(states.values())
    named = _chooser(entry.search["pruner"], PRUNERS)
    return {
        "dataset": entry.dataset,
        "model": entry.model,
        "metric": MEASURES[entry.search["metric"]],
        "percent": percent,
        "value": f"{100 * value:.2f}{text.SPACE}%" if percent else text.number(value),
        "trial": entry.best["trial"],
        "params": {path: _plain(found) for path, found in entry.best["params"].items()},
        "asked": counts["asked"],
        "states": [f"{number:,} {state}" for state, number in states.items() if number],
        "failed": counts["failed"],
        "saved": _saved(entry.trials),
        "workers": entry.search["workers"],
        "sampler": _chooser(entry.search["sampler"], SAMPLERS),
        "pruner": None if entry.search["pruner"]["name"] == "none" else named,
        "reruns": _reruns(entry.best, percent),
        "trials": _trials(entry),
        "finished": len(entry.trials),
        "csv": entry.csv,
        "pictures": [
            picture
            for kind in TUNING
            for picture in _pictures(figures, kind=kind, dataset=entry.dataset, name=entry.model)
        ],
    }


# -- how it was made -----------------------------------------------------------------------------------------------------


def _total(entries: Iterable[RuntimeEntry], fact: str) -> float:
    return math.fsum(entry.facts.get(fact, 0) for entry in entries)


def _making(runtimes: Sequence[RuntimeEntry]) -> dict[str, Any]:
    stages = []
    for stage in sorted({entry.stage for entry in runtimes}, key=[*STAGES].index):
        jobs = [entry for entry in runtimes if entry.stage == stage]
        stages.append(
            {
                "name": STAGES[stage],
                "jobs": len(jobs),
                "wall": text.duration(_total(jobs, "wall_seconds")),
                "cpu": text.duration(_total(jobs, "cpu_seconds")),
                "memory": text.memory(max(job.facts.get("peak_memory_mib", math.nan) for job in jobs)),
            }
        )
    versions: dict[str, dict[str, None]] = {}
    machines: dict[str, None] = {}
    for entry in runtimes:
        machine = entry.facts.get("machine", {})
        found = {"python": machine["python"]} if "python" in machine else {}
        for package, version in (found | dict(entry.facts.get("versions", {}))).items():
            versions.setdefault(package, {})[version] = None
        cores = text.counted(machine["cores"], "core") if machine.get("cores") else None
        described = [machine.get("processor"), cores, machine.get("system")]
        machines[", ".join(part for part in described if part)] = None
    return {
        "stages": stages,
        "jobs": len(runtimes),
        "wall": text.duration(_total(runtimes, "wall_seconds")),
        "cpu": text.duration(_total(runtimes, "cpu_seconds")),
        "versions": {package: ", ".join(sorted(found)) for package, found in sorted(versions.items())},
        "machines": sorted(machine for machine in machines if machine),
        "backends": sorted({entry.facts["backend"] for entry in runtimes if entry.facts.get("backend")}),
        "devices": sorted({entry.facts["device"] for entry in runtimes if entry.facts.get("device")}),
        "costs": [
            {
                "stage": STAGES[entry.stage],
                "dataset": entry.dataset,
                "name": entry.name,
                "seed": text.number(entry.seed),
                "epochs": text.number(entry.facts.get("epochs")),
                "wall": text.duration(entry.facts.get("wall_seconds")),
                "cpu": text.duration(entry.facts.get("cpu_seconds")),
                "memory": text.memory(entry.facts.get("peak_memory_mib")),
                "speed": f"{entry.facts['images_per_second']:,.0f}"
                if entry.facts.get("images_per_second")
                else text.NOTHING,
            }
            for entry in runtimes
        ],
    }


# -- the page ------------------------------------------------------------------------------------------------------------


def _further(
    figures: Iterable[FigureEntry], tuning: Iterable[TuningEntry], combined: Iterable[EnsembleEntry], tested: bool
) -> list[FigureEntry]:
    """The figures that no other part of the page shows."""
    searches = {(entry.dataset, entry.model) for entry in tuning}
    ensembles = {(entry.dataset, entry.name) for entry in combined}

    def elsewhere(figure: FigureEntry) -> bool:
        if figure.kind in TUNING:
            return (figure.dataset, figure.name) in searches
        if figure.kind == "growth":
            return (figure.dataset, figure.name) in ensembles
        return tested if figure.kind == "critical_difference" else figure.kind in LABELS

    return [figure for figure in figures if not elsewhere(figure)]


def render_page(
    study: Record,
    runs: pd.DataFrame,
    models: pd.DataFrame,
    ensembles: pd.DataFrame,
    data: Sequence[DataEntry],
    figures: Sequence[FigureEntry],
    tuning: Sequence[TuningEntry],
    runtimes: Sequence[RuntimeEntry],
    study_text: str,
    published: pd.DataFrame | None = None,
    combined: Sequence[EnsembleEntry] = (),
    comparisons: Comparisons | None = None,
) -> str:
    """The page as HTML: styles and images inside, no scripts, nothing fetched; names are escaped.

    ``study`` has ``study``, ``title`` and ``description`` (or None), ``graft`` (its version), and it may have ``models``,
    of which any may say ``why`` its parameters are what they are, and ``reference``, whose ``published`` figures are a
    table of :func:`graft.published.published_table`. ``runs``, ``models`` and ``ensembles`` (which may be empty) are the
    tables of :mod:`graft.tables`, and ``combined`` says more of the ensembles; ``study_text`` is the study as YAML,
    defaults filled in. The model that stands first has the highest mean top-1 accuracy on the validation split.
    """
    tables = _records(runs), _records(models), _records(ensembles)
    searches = [_tuning(entry, figures) for entry in tuning]
    datasets = [entry.dataset for entry in data]
    reference = {"authors": None, "date": None, "remarks": [], **study["reference"]} if "reference" in study else None
    results = [_results(dataset, *tables, runtimes) for dataset in datasets]
    ensembles_on = [_ensembles(dataset, combined, tables[2], figures) for dataset in datasets]
    tested = _statistics(comparisons, results, figures)
    reasons = {name: model["why"] for name, model in study.get("models", {}).items() if model.get("why")}
    return text.render(
        "page.html.j2",
        study=study,
        title=study.get("title") or study["study"],
        reduced=_reduced(study.get("limits", {})),
        results=results,
        combined=[it for it in ensembles_on if it["rows"]],
        tested=tested,
        seeds=sorted(set(runs["seed"])),
        reasons=reasons,
        reference=reference,
        published=[] if published is None else _published(published),
        comparisons={dataset: _pictures(figures, kind="model_comparison", dataset=dataset) for dataset in datasets},
        learning=_pictures(figures, kind="learning_curves"),
        confusion=_pictures(figures, kind="confusion_matrix"),
        data=[_data(entry, figures) for entry in data],
        searches=searches,
        further=[_picture(figure) for figure in _further(figures, tuning, combined, tested is not None)],
        making=_making(runtimes),
        study_text=study_text,
    )
