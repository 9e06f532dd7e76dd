"""The tables of a study: every metric of runs and ensembles, and of models over their seeds, with its uncertainty."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from graft.metrics import IMAGE_SCORES, METRICS, Outcomes, intervals, outcomes
from graft.predictions import Predictions
from graft.statistics import BOOTSTRAP_DRAWS, Interval, bootstrap_seeds, t_interval

RUN = ("dataset", "model", "seed")
ENSEMBLE = ("dataset", "ensemble", "method", "members")
BOUNDS = tuple(f"{metric}_{end}" for metric in METRICS for end in ("low", "high"))
VALUES = ("split", "images", *METRICS, *BOUNDS)


class Measured(NamedTuple):
    """A split of a run or an ensemble: what names it, as the first columns of its table have it, and what every metric
    needs of its images."""

    names: tuple[object, ...]
    split: str
    sample_id: np.ndarray
    outcomes: Outcomes


def measured(items: Iterable[tuple[Sequence[object], Predictions]]) -> list[Measured]:
    """Each split of each of these runs or ensembles, whose predictions are not kept."""
    return [
        Measured(
            tuple(names),
            split,
            data.sample_id,
            outcomes(data.log_prob, data.label),
        )
        for names, predictions in items
        for split, data in predictions.splits.items()
    ]


# -- runs and ensembles --------------------------------------------------------------------------------------------------


def _values(found: dict[str, Interval]) -> dict[str, float]:
    values = {metric: interval.estimate for metric, interval in found.items()}
    return values | {f"{metric}_{end}": getattr(found[metric], end) for metric in found for end in ("low", "high")}


def _all_values(of: Sequence[Measured], draws: int) -> list[dict[str, float]]:
    """Every metric of each, and its bounds; those of as many images share the draws, which take most of the time."""
    found: list[dict[str, float]] = [{} for _ in of]
    for images in {len(each.sample_id) for each in of}:
        places = [place for place, each in enumerate(of) if len(each.sample_id) == images]
        for place, each in zip(places, intervals([of[k].outcomes for k in places], draws), strict=True):
            found[place] = _values(each)
    return found


def _table(columns: Sequence[str], of: Sequence[Measured], draws: int) -> pd.DataFrame:
    rows = [
        {
            **dict(zip(columns, each.names, strict=True)),
            **{"split": each.split, "images": len(each.sample_id)},
            **values,
        }
        for each, values in zip(of, _all_values(of, draws), strict=True)
    ]
    return pd.DataFrame(rows, columns=[*columns, *VALUES])


def run_table(runs: Sequence[Measured], draws: int = BOOTSTRAP_DRAWS) -> pd.DataFrame:
    """One row per run, named by data set, model and seed, and split: its number of images and every metric.

    Metrics are those of :data:`graft.metrics.METRICS`; ``<metric>_low`` and ``<metric>_high`` bound, with 95% confidence,
    what other images of the kind would give, by :func:`graft.metrics.intervals`.
    """
    return _table(RUN, runs, draws)


def ensemble_table(ensembles: Sequence[Measured], draws: int = BOOTSTRAP_DRAWS) -> pd.DataFrame:
    """One row per ensemble, named by data set, ensemble, method and number of members, and split, as :func:`run_table`."""
    return _table(ENSEMBLE, ensembles, draws)


# -- models --------------------------------------------------------------------------------------------------------------


def _interval(values: "pd.Series[float]") -> tuple[float, float]:
    return t_interval(values.to_numpy()) or (math.nan, math.nan)


def _in_order(run: Measured) -> np.ndarray:
    """The scores of each image (n, metrics), in the order of sample ids."""
    return run.outcomes.scores.to_numpy()[np.argsort(run.sample_id)]


def _over_images(runs: Sequence[Measured], draws: int) -> dict[str, float]:
    """The bounds of the mean over seeds of each metric that is a mean over images, if there are seeds enough."""
    of_one = len({tuple(np.sort(run.sample_id)) for run in runs}) == 1  # folds hold out other images each
    found = bootstrap_seeds(np.stack([_in_order(run) for run in runs]), draws) if of_one else None
    return {
        f"{metric}_boot_{end}": getattr(interval, end)
        for metric, interval in zip(IMAGE_SCORES, found or (), strict=bool(found))
        for end in ("low", "high")
    }


def over_seeds(runs: pd.DataFrame, of: Sequence[Measured] = (), draws: int = BOOTSTRAP_DRAWS) -> pd.DataFrame:
    """Mean and sample standard deviation of each metric over the seeds of a model (columns ``<metric>_mean``, ``_sd``).

    ``runs`` is a table of :func:`run_table`, and ``of`` what it was made of. ``<metric>_low`` and ``_high`` bound the mean
    that other seeds would give on the same images, with 95% confidence, by :func:`graft.statistics.t_interval`.
    ``seeds`` is their number; with one seed there is neither standard deviation nor interval, and the fields are empty.
    ``<metric>_boot_low`` and ``_boot_high`` bound the mean that other seeds would give on other images, by
    :func:`graft.statistics.bootstrap_seeds`, of metrics that are means over images; they are empty below five seeds, and
    where seeds have other images, as the validation splits of folds.
    """
    keys = ["dataset", "model", "split"]
    groups = runs.groupby(keys, sort=False)
    columns: dict[str, pd.Series] = {"seeds": groups["seed"].nunique(), "images": groups["images"].first()}
    for metric in [name for name in METRICS if name in runs]:
        columns[f"{metric}_mean"] = groups[metric].mean()
        columns[f"{metric}_sd"] = groups[metric].std(ddof=1)
        columns[f"{metric}_low"] = groups[metric].agg(lambda values: _interval(values)[0])
        columns[f"{metric}_high"] = groups[metric].agg(lambda values: _interval(values)[1])
    table = pd.DataFrame(columns).reset_index()
    by_model: dict[tuple[Any, ...], list[Measured]] = {}
    for run in of:
        by_model.setdefault((*run.names[:2], run.split), []).append(run)
    boot = [_over_images(by_model.get(tuple(key), []), draws) for key in table[keys].to_numpy()]
    names = [f"{metric}_boot_{end}" for metric in IMAGE_SCORES for end in ("low", "high")]
    return table.join(pd.DataFrame(boot, index=table.index, columns=names, dtype=float))
