"""The tables of a study: every metric of runs and ensembles, and of models over their seeds."""

from collections.abc import Iterable, Sequence

import pandas as pd

from graft.metrics import METRICS, measure
from graft.predictions import Predictions

RUN = ("dataset", "model", "seed")
ENSEMBLE = ("dataset", "ensemble", "method", "members")


def _table(columns: Sequence[str], items: Iterable[tuple[Sequence[object], Predictions]]) -> pd.DataFrame:
    rows = [
        {
            **dict(zip(columns, names, strict=True)),
            "split": split,
            "images": len(data.label),
            **measure(data.log_prob, data.label),
        }
        for names, predictions in items
        for split, data in predictions.splits.items()
    ]
    return pd.DataFrame(rows, columns=[*columns, "split", "images", *METRICS])


def run_table(runs: Iterable[tuple[Sequence[object], Predictions]]) -> pd.DataFrame:
    """One row per run, named by data set, model and seed, and split: its number of images and every metric."""
    return _table(RUN, runs)


def ensemble_table(ensembles: Iterable[tuple[Sequence[object], Predictions]]) -> pd.DataFrame:
    """One row per ensemble, named by data set, ensemble, method and number of members, and split, as :func:`run_table`."""
    return _table(ENSEMBLE, ensembles)


def over_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean and sample standard deviation of each metric over the seeds of a model (columns ``<metric>_mean``, ``_sd``).

    ``seeds`` is their number; with one seed there is no standard deviation, and the field is empty.
    """
    groups = runs.groupby(["dataset", "model", "split"], sort=False)
    columns: dict[str, pd.Series] = {"seeds": groups["seed"].nunique(), "images": groups["images"].first()}
    for metric in METRICS:
        columns[f"{metric}_mean"] = groups[metric].mean()
        columns[f"{metric}_sd"] = groups[metric].std(ddof=1)
    return pd.DataFrame(columns).reset_index()
