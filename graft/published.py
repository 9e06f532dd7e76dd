"""Figures that a report published beside those of a study, and whether the test images tell them apart."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from graft.statistics import difference_interval, share_interval

SPLITS = ("test", "validation", "train")
MEASURED = {"top1": "accuracy", "top5": None, "log_loss": "loss"}
"""The metrics that a report may publish, and the column of a run's history that has each on the training split."""
SHARES = ("top1", "top5")
TEXTS = ("dataset", "name", "split", "metric", "verdict", "remark")
COLUMNS = (
    *("dataset", "name", "split", "metric", "published", "low", "high", "images", "ours", "ours_sd", "runs"),
    *("our_images", "difference", "difference_low", "difference_high", "verdict", "remark"),
)
NOT_KNOWN = (math.nan, math.nan)

Histories = Mapping[tuple[str, str], Sequence[pd.DataFrame]]


class _Ours(NamedTuple):
    """What a study measured: a value per run or of an ensemble, the runs behind them, and the images of the split."""

    values: "pd.Series[float]"
    runs: float
    images: float


# -- verdicts ------------------------------------------------------------------------------------------------------------


def verdict(low: float, high: float) -> str:
    """What the interval of a difference says: ``higher``, ``lower``, ``not distinguishable``, or nothing if there is none."""
    if math.isnan(low):
        return ""
    return "higher" if low > 0 else "lower" if high < 0 else "not distinguishable"


def _sample(share: float, images: float) -> tuple[int, int] | None:
    """The numbers of correct and of all images, if they are known; a share that was rounded gives the nearest number."""
    return None if math.isnan(share) or math.isnan(images) else (round(share * images), int(images))


# -- the table -----------------------------------------------------------------------------------------------------------


def _from_history(histories: Sequence[pd.DataFrame], metric: str) -> _Ours:
    column = MEASURED[metric]
    last = [history[column].iloc[-1] for history in histories if column in history and len(history)]
    return _Ours(pd.Series(last, dtype=float), len(last) or math.nan, math.nan)


def _from_tables(name: str, split: str, metric: str, runs: pd.DataFrame, ensembles: pd.DataFrame) -> _Ours:
    """Of one data set: the rows of the model or the ensemble of this name."""
    of_model = runs[(runs["model"] == name) & (runs["split"] == split)]
    if len(of_model):
        return _Ours(of_model[metric], of_model["seed"].nunique(), of_model["images"].iloc[0])
    of_ensemble = ensembles[(ensembles["ensemble"] == name) & (ensembles["split"] == split)]
    if len(of_ensemble):
        return _Ours(of_ensemble[metric], of_ensemble["members"].iloc[0], of_ensemble["images"].iloc[0])
    return _Ours(pd.Series(dtype=float), math.nan, math.nan)


def _row(metric: str, published: float, images: float, ours: _Ours) -> dict[str, Any]:
    mean = float(ours.values.mean())
    theirs, own = (
        _sample(share, number) if metric in SHARES else None
        for share, number in ((published, images), (mean, ours.images))
    )
    low, high = share_interval(*theirs) if theirs else NOT_KNOWN
    difference_low, difference_high = difference_interval(own, theirs) if own and theirs else NOT_KNOWN
    return {
        "published": published,
        "low": low,
        "high": high,
        "images": images,
        "ours": mean,
        "ours_sd": float(ours.values.std(ddof=1)),
        "runs": ours.runs,
        "our_images": ours.images,
        "difference": mean - published,
        "difference_low": difference_low,
        "difference_high": difference_high,
        "verdict": verdict(difference_low, difference_high),
    }


def published_table(
    figures: Sequence[Mapping[str, Any]], runs: pd.DataFrame, ensembles: pd.DataFrame, histories: Histories
) -> pd.DataFrame:
    """One row per published number, in the order of ``figures``: that number, ours, and what their difference says.

    A figure has ``of`` (a model or an ensemble) and ``dataset``, under ``test``, ``validation`` and ``train`` any of
    ``top1``, ``top5`` (shares) and ``log_loss`` (nats), and may have ``images`` (of the published test split) and
    ``remark``. ``runs`` and ``ensembles`` are the tables of :mod:`graft.tables`; ``histories`` has the history.csv of
    each run of a model, by (data set, model). Of the training split, ours is what the last epoch says: measured while
    the weights changed, with dropout, and the loss with the penalties of the model.

    ``ours`` is the mean and ``ours_sd`` the sample standard deviation over the seeds of a model, and ``runs`` the number
    of these, or of the members of an ensemble. ``images`` and ``our_images`` are the images of the split, where known.
    ``low`` and ``high`` bound the published share by :func:`graft.statistics.share_interval`, and ``difference_low`` and
    ``difference_high`` ours minus the published one by :func:`graft.statistics.difference_interval`; ``verdict`` (of
    :func:`verdict`) says whether the latter leaves out zero. Both cover the chance in which images were tested, not that
    of other seeds.
    They are wide rather than narrow: the mean over seeds counts as one run on ``our_images``, for all seeds see the same
    images; and the two samples count as independent, also where a report tested the same images. Losses, and shares
    of an unknown number of images, have neither interval nor verdict.
    """
    rows = []
    for figure in figures:
        dataset, name = figure["dataset"], figure["of"]
        tables = [table[table["dataset"] == dataset] for table in (runs, ensembles)]
        for split, metric in ((split, metric) for split in SPLITS for metric in MEASURED):
            published = (figure.get(split) or {}).get(metric)
            if published is None:
                continue
            if split == "train":
                ours = _from_history(histories.get((dataset, name), []), metric)
            else:
                ours = _from_tables(name, split, metric, *tables)
            images = figure.get("images", math.nan) if split == "test" else math.nan
            labels = {"dataset": dataset, "name": name, "split": split, "metric": metric}
            rows.append(labels | _row(metric, published, images, ours) | {"remark": figure.get("remark", "")})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def read_published(path: str | Path) -> pd.DataFrame:
    """A table of :func:`published_table` from its CSV file: texts stay text, and an empty number is NaN."""
    numbers = [name for name in COLUMNS if name not in TEXTS]
    return pd.read_csv(
        path, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values={name: [""] for name in numbers}
    )
