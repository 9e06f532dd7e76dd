"""Whether the test images tell models and ensembles apart: every pair of a data set, and ranks over data sets."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from graft.errors import UserError
from graft.metrics import IMAGE_SCORES
from graft.predictions import Predictions
from graft.ranked import ranked
from graft.statistics import (
    BOOTSTRAP_DRAWS,
    PERMUTATIONS,
    bootstrap_differences,
    friedman,
    holm,
    mcnemar_tests,
    permutation_tests,
)

METRICS = {"top1": True, "log_loss": False}
"""The metrics that are compared, and whether more is better."""
ALPHA = 0.05
PERMUTATIONS_PER_PAIR = 50
"""Of so many permutations the least p, adjusted for all pairs, is 0.02, so that it can be below 0.05."""
PAIRS = (
    *("dataset", "metric", "first", "second", "images", "first_seeds", "second_seeds", "first_value", "second_value"),
    *("difference", "difference_low", "difference_high", "p", "p_holm"),
    *("only_first", "only_second", "mcnemar_p", "mcnemar_p_holm", "verdict"),
)
TEXTS = ("dataset", "metric", "first", "second", "name", "verdict")
RANKS = ("metric", "name", "mean_rank", "datasets", "names", "statistic", "p", "critical_difference")


class Scored(NamedTuple):
    """A run, or an ensemble, on the test split: ids and labels (n,), and the scores of each image by metric (n,)."""

    dataset: str
    name: str
    sample_id: np.ndarray
    label: np.ndarray
    scores: Mapping[str, np.ndarray]


def scored(dataset: str, name: str, predictions: Predictions) -> Scored:
    """The test split of the predictions of a run of the model ``name``, or of the ensemble of that name."""
    split = predictions.splits["test"]
    scores = {metric: IMAGE_SCORES[metric](split.log_prob, split.label) for metric in METRICS}
    return Scored(dataset, name, split.sample_id, split.label, scores)


class _Name(NamedTuple):
    """A model or an ensemble: how many seeds it has, each image's mean score over them by metric, float64 (n,), and the
    hits of the first seed."""

    seeds: int
    scores: Mapping[str, np.ndarray]
    hits: np.ndarray


def _in_order(runs: Sequence[Scored]) -> list[Scored]:
    """Runs of a data set with their images in one order."""
    found = []
    for run in runs:
        order = np.argsort(run.sample_id)
        scores = {metric: np.asarray(values, dtype=np.float64)[order] for metric, values in run.scores.items()}
        found.append(run._replace(sample_id=run.sample_id[order], label=run.label[order], scores=scores))
        first, pair = found[0], f"{runs[0].name} and {run.name} on {run.dataset} cannot be compared"
        again = "run snakemake again with --forcerun train_model"
        if not np.array_equal(found[-1].sample_id, first.sample_id):
            raise UserError(f"{pair}: their test splits hold different samples; {again}")
        if not np.array_equal(found[-1].label, first.label):
            raise UserError(f"{pair}: they disagree on labels of the test split; {again}")
    return found


def _names(runs: Sequence[Scored]) -> dict[str, _Name]:
    by_name: dict[str, list[Scored]] = {}
    for run in _in_order(runs):
        by_name.setdefault(run.name, []).append(run)
    return {
        name: _Name(
            len(seeds),
            {metric: np.mean([run.scores[metric] for run in seeds], axis=0) for metric in METRICS},
            seeds[0].scores["top1"] > 0,
        )
        for name, seeds in by_name.items()
    }


def _by_dataset(runs: Iterable[Scored]) -> dict[str, list[Scored]]:
    found: dict[str, list[Scored]] = {}
    for run in runs:
        found.setdefault(run.dataset, []).append(run)
    return found


# -- pairs ---------------------------------------------------------------------------------------------------------------


def verdict(difference: float, p: float) -> str:
    """What a test says of a difference: ``higher``, ``lower``, ``not distinguishable``, or nothing if there is no p."""
    if math.isnan(p):
        return ""
    return "not distinguishable" if p > ALPHA else "higher" if difference > 0 else "lower"


def _pairs(dataset: str, metric: str, names: Mapping[str, _Name], draws: int) -> pd.DataFrame:
    pairs = list(itertools.combinations(range(len(names)), 2))
    of = list(names.values())
    first, second = zip(*pairs, strict=True)
    scores = np.column_stack([name.scores[metric] for name in of])
    values = scores.mean(axis=0)
    differences = bootstrap_differences(scores, pairs, draws)
    tests = permutation_tests(scores, pairs, max(PERMUTATIONS, PERMUTATIONS_PER_PAIR * len(pairs)))
    labels = np.array(list(names), dtype=object)
    seeds = np.array([name.seeds for name in of])
    table = pd.DataFrame(
        {
            **{"dataset": dataset, "metric": metric, "first": labels[[*first]], "second": labels[[*second]]},
            **{"images": len(scores), "first_seeds": seeds[[*first]], "second_seeds": seeds[[*second]]},
            **{"first_value": values[[*first]], "second_value": values[[*second]]},
            "difference": [interval.estimate for interval in differences],
            "difference_low": [interval.low for interval in differences],
            "difference_high": [interval.high for interval in differences],
            "p": [test.p for test in tests],
            "p_holm": holm([test.p for test in tests]),
        }
    )
    if metric == "top1":
        exact = pd.DataFrame(mcnemar_tests(np.column_stack([name.hits for name in of]), pairs))
        table = table.assign(only_first=exact["only_first"], only_second=exact["only_second"], mcnemar_p=exact["p"])
        table["mcnemar_p_holm"] = holm(exact["p"].to_numpy())
    table["verdict"] = [verdict(d, p) for d, p in zip(table["difference"], table["p_holm"], strict=True)]
    return table.reindex(columns=PAIRS)


def pairs_table(runs: Iterable[Scored], draws: int = BOOTSTRAP_DRAWS) -> pd.DataFrame:
    """A row for each data set, metric of ``METRICS`` and pair of names, models and ensembles, from their test images.

    Runs of one name on one data set are its seeds, in their order. ``first_value`` and ``second_value`` are means over the
    ``images``, of each image's mean score over the seeds of the name (``first_seeds``, ``second_seeds``).
    ``difference`` is the first minus the second, with its 95% interval by
    :func:`graft.statistics.bootstrap_differences`; ``p`` is that of :func:`graft.statistics.permutation_tests`, of 50
    permutations for each pair and at least 10,000. ``only_first`` and ``only_second`` are the images that the run of the
    first seed of one alone gets right, and ``mcnemar_p`` is of them (:func:`graft.statistics.mcnemar_tests`); empty where
    the metric is another one than ``top1``. ``p_holm`` and ``mcnemar_p_holm`` are adjusted for all pairs of the data set
    and the metric (:func:`graft.statistics.holm`). ``verdict`` says whether the first is ``higher`` or ``lower`` where
    ``p_holm`` is at most 0.05, and otherwise ``not distinguishable``; of losses, lower is better.

    The test asks whether the two are interchangeable on every image; of very skewed losses its verdict and the interval,
    which is of the mean, may differ. Both are about other test images of the kind, not about other seeds.

    Raises:
        UserError: two runs of a data set differ in test images or labels.
    """
    parts = [
        _pairs(dataset, metric, names, draws)
        for dataset, held in _by_dataset(runs).items()
        for names in [_names(held)]
        if len(names) > 1
        for metric in METRICS
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(PAIRS))


# -- ranks ---------------------------------------------------------------------------------------------------------------


def ranks_table(runs: Iterable[Scored]) -> pd.DataFrame:
    """A row for each metric of ``METRICS`` and name that has a rank over data sets, 1 the best; empty if none has.

    Ranked are the names that the most data sets have in common, three or more of either's names on two or more
    (:func:`graft.ranked.ranked`), by their mean over seeds. ``mean_rank`` is the mean over the ``datasets``; ``statistic``
    and ``p`` are Friedman's of all ``names``, and two mean ranks differ at 95% where they are further apart than the
    ``critical_difference`` (Nemenyi): :func:`graft.statistics.friedman`.
    """
    held = _by_dataset(runs)
    datasets, names = ranked({dataset: list(dict.fromkeys(run.name for run in own)) for dataset, own in held.items()})
    rows = []
    for metric, higher in METRICS.items() if names else ():
        values = [
            [np.mean([run.scores[metric].mean() for run in held[dataset] if run.name == name]) for name in names]
            for dataset in datasets
        ]
        found = friedman(np.array(values), higher)
        assert found is not None  # ranked() asks for as many as Friedman's test does
        facts = {"datasets": len(datasets), "names": len(names), "statistic": found.statistic, "p": found.p}
        rows += [
            {"metric": metric, "name": name, "mean_rank": rank}
            | facts
            | {"critical_difference": found.critical_difference}
            for name, rank in zip(names, found.ranks, strict=True)
        ]
    return pd.DataFrame(rows, columns=list(RANKS))


def read_comparison(path: str | Path) -> pd.DataFrame:
    """A table of :func:`pairs_table` or :func:`ranks_table` from its CSV file: texts stay text, an empty number is NaN."""
    numbers = [name for name in (*PAIRS, *RANKS) if name not in TEXTS]
    return pd.read_csv(
        path, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values={name: [""] for name in numbers}
    )
