"""The tables of a study: every metric of runs and ensembles, and of models over their seeds."""

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from graft.metrics import METRICS, measure
from graft.predictions import Predictions, SplitPredictions
from graft.statistics import share_interval, t_interval

RUN = ("dataset", "model", "seed")
ENSEMBLE = ("dataset", "ensemble", "method", "members")
VALUES = ("split", "images", *METRICS, "top1_low", "top1_high")


def _values(data: SplitPredictions) -> dict[str, float]:
    values, images = measure(data.log_prob, data.label), len(data.label)
    low, high = share_interval(round(values["top1"] * images), images)
    return {"images": images, **values, "top1_low": low, "top1_high": high}


def _table(columns: Sequence[str], items: Iterable[tuple[Sequence[object], Predictions]]) -> pd.DataFrame:
    rows = [
        {**dict(zip(columns, names, strict=True)), "split": split, **_values(data)}
        for names, predictions in items
        for split, data in predictions.splits.items()
    ]
    return pd.DataFrame(rows, columns=[*columns, *VALUES])


def run_table(runs: Iterable[tuple[Sequence[object], Predictions]]) -> pd.DataFrame:
    """One row per run, named by data set, model and seed, and split: its number of images and every metric.

    Metrics are those of :data:`graft.metrics.METRICS`; ``top1_low`` and ``top1_high`` bound the top-1 accuracy that other
    images of the kind would give, by :func:`graft.statistics.share_interval`.
    """
    return _table(RUN, runs)


def ensemble_table(ensembles: Iterable[tuple[Sequence[object], Predictions]]) -> pd.DataFrame:
    """One row per ensemble, named by data set, ensemble, method and number of members, and split, as :func:`run_table`."""
    return _table(ENSEMBLE, ensembles)


def _interval(values: "pd.Series[float]") -> tuple[float, float]:
    return t_interval(values.to_numpy()) or (math.nan, math.nan)


def over_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean and sample standard deviation of each metric over the seeds of a model (columns ``<metric>_mean``, ``_sd``).

    ``<metric>_low`` and ``_high`` bound the mean that other seeds would give on the same images, with 95% confidence, by
    :func:`graft.statistics.t_interval`. ``seeds`` is their number; with one seed there is neither standard deviation nor
    interval, and the fields are empty.
    """
    groups = runs.groupby(["dataset", "model", "split"], sort=False)
    columns: dict[str, pd.Series] = {"seeds": groups["seed"].nunique(), "images": groups["images"].first()}
    for metric in [name for name in METRICS if name in runs]:
        columns[f"{metric}_mean"] = groups[metric].mean()
        columns[f"{metric}_sd"] = groups[metric].std(ddof=1)
        columns[f"{metric}_low"] = groups[metric].agg(lambda values: _interval(values)[0])
        columns[f"{metric}_high"] = groups[metric].agg(lambda values: _interval(values)[1])
    return pd.DataFrame(columns).reset_index()
