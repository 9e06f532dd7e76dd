"""The members of an ensemble: what they predicted, from the files of runs, folds, trials, snapshots or of another program,
and what is written of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os.path import relpath
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from graft.ensembles import Combined
from graft.ensembles.averages import arithmetic_mean
from graft.errors import UserError
from graft.external import load_external
from graft.files import verified, verified_all
from graft.predictions import Predictions, SplitPredictions, align, load_predictions, load_snapshots
from graft.statistics import bootstrap_means, diversity, permutation_test, soft_vote_accuracy


class Loaded(NamedTuple):
    """A member: its predictions, and what ``ensemble.json`` says of it but for its weight."""

    predictions: Predictions
    facts: dict[str, Any]


def _of_test(predictions: Predictions) -> Predictions:
    return predictions._replace(splits={"test": predictions.splits["test"]})


def _validation_log_loss(predictions: Predictions) -> float:
    _, label, log_prob = predictions.splits["validation"]
    return -float(np.take_along_axis(log_prob, label[:, None], axis=1).mean(dtype=np.float64))


def merge_folds(folds: Mapping[str, Predictions]) -> Predictions:
    """One member of networks that were each trained without one fold of the training and validation images.

    Its validation split is that of all folds, each image predicted by the network that did not see it (Breiman, Out-of-Bag
    Estimation, 1996, for bags; Stone, Journal of the Royal Statistical Society B 36, 1974, for folds); its test split is
    the mean of the networks' probabilities (Breiman, Bagging Predictors, Machine Learning 24, 1996).

    Raises:
        UserError: two networks differ in classes or test images, or predict the same validation image.
    """
    test = align({name: _of_test(fold) for name, fold in folds.items()})
    split = test.splits["test"]
    held_out = [fold.splits["validation"] for fold in folds.values()]
    joined = SplitPredictions(*(np.concatenate(arrays) for arrays in zip(*held_out, strict=True)))
    if len(np.unique(joined.sample_id)) < len(joined.sample_id):
        raise UserError(f"{', '.join(folds)}: two of these folds hold out the same image; train them again")
    whole = split._replace(log_prob=arithmetic_mean(split.log_prob))
    return Predictions(test.classes, {"validation": joined, "test": whole})


def _best(members: Mapping[str, Loaded], most: int | None) -> dict[str, Loaded]:
    """The members of least validation log loss, in their order."""
    if most is None or len(members) <= most:
        return dict(members)
    losses = {name: _validation_log_loss(predictions) for name, (predictions, _) in members.items()}
    chosen = set(sorted(losses, key=lambda name: losses[name])[:most])
    return {name: member for name, member in members.items() if name in chosen}


def _of_trials(files: Sequence[Path], name: str) -> Iterator[tuple[str, Predictions, dict[str, Any]]]:
    (sums,) = files
    for path in sorted(verified_all(sums), key=lambda path: int(path.stem)):
        yield f"{name} {path.stem}", load_predictions(path), {"trial": int(path.stem), "files": [path]}


def _of_snapshots(
    files: Sequence[Path], name: str, most: int | None
) -> Iterator[tuple[str, Predictions, dict[str, Any]]]:
    (path,) = files
    snapshots = load_snapshots(verified(path))
    first = max(len(snapshots) - most, 0) if most else 0
    for number, snapshot in enumerate(snapshots[first:], first + 1):
        yield f"{name} {number}", snapshot, {"snapshot": number, "files": [path]}


def _read(entry: Mapping[str, Any], files: Sequence[Path]) -> Iterator[tuple[str, Predictions, dict[str, Any]]]:
    kind, name = entry["kind"], entry["member"]
    if kind == "trials":
        yield from _of_trials(files, name)
    elif kind == "snapshots":
        yield from _of_snapshots(files, name, entry.get("most"))
    elif kind == "folds":
        folds = {f"{name}, number {k}": load_predictions(verified(path)) for k, path in enumerate(files)}
        yield name, merge_folds(folds), {"files": files}
    else:
        path = files[0]
        yield name, load_external(path) if kind == "file" else load_predictions(verified(path)), {"files": [path]}


def read_members(
    entries: Iterable[Mapping[str, Any]], files: Iterable[str | Path], best: int | None, folder: str | Path
) -> dict[str, Loaded]:
    """The members that a study's entries stand for, by name, and only the ``best`` of them by validation log loss.

    An entry has ``member`` (its name), ``kind`` as :class:`graft.config.ensembles.Member`, ``count`` of its ``files``,
    perhaps ``most``, and what else ``ensemble.json`` says of it. Paths in the facts are relative to ``folder``.

    Raises:
        UserError: a file is damaged or missing.
    """
    paths = iter(map(Path, files))
    members: dict[str, Loaded] = {}
    for entry in entries:
        own = [next(paths) for _ in range(entry["count"])]
        found = {}
        for name, predictions, more in _read(entry, own):
            named = more | {"predictions": [relpath(path, folder) for path in more.pop("files")]}
            found[name] = Loaded(predictions, {**entry} | {"member": name} | named)
        members |= _best(found, entry.get("most")) if entry["kind"] == "trials" else found
    return _best(members, best)


def against_best(members: Mapping[str, Predictions], combined: Predictions) -> dict[str, Any]:
    """What an ensemble gains over its best member, that of least validation log loss: on the test split, so that what
    chose it decides nothing here.

    ``difference`` is the top-1 accuracy of the ensemble minus that of the member on the same images, ``difference_low`` and
    ``difference_high`` its 95% interval over other images (:func:`graft.statistics.bootstrap_means`), and ``p`` that of a
    paired permutation test (:func:`graft.statistics.permutation_test`). Empty, if no member has predictions.
    """
    if not members:
        return {}
    losses = {name: _validation_log_loss(member) for name, member in members.items()}
    best = min(losses, key=lambda name: losses[name])
    test = {"the ensemble": combined, best: members[best]}
    _, label, log_prob = align({name: _of_test(each) for name, each in test.items()}).splits["test"]
    ours, theirs = (each.argmax(axis=1) == label for each in log_prob)
    difference = ours.astype(float) - theirs
    interval = bootstrap_means(difference[:, None])[0]
    return {
        "member": best,
        "validation_log_loss": losses[best],
        "top1": float(theirs.mean()),
        "difference": interval.estimate,
        "difference_low": interval.low,
        "difference_high": interval.high,
        "p": permutation_test(ours, theirs).p,
    }


PLANNED = ("count", "most")
"""What a study's entry of a member has for :func:`read_members` alone."""

MEMBER_COLUMNS = ("member", "kind", "dataset", "model", "seed", "weight")


def describe_ensemble(
    facts: Sequence[Mapping[str, Any]],
    combined: Combined,
    members: Mapping[str, Predictions],
    *,
    method: Mapping[str, Any],
    preparation: Mapping[str, Any],
    **more: Any,
) -> dict[str, Any]:
    """What ``ensemble.json`` says: how the members, each with its weight, became one, what applies it to new images, and
    what it gains over its best member.

    ``facts`` has what is known of each member, ``members`` what those predict of which this is known.
    """
    optional = {
        "temperature": combined.temperature,
        "fitted": combined.facts,
        "best_member": against_best(members, combined.predictions),
    }
    rows = [
        {key: value for key, value in fact.items() if key not in PLANNED} | {"weight": float(weight)}
        for fact, weight in zip(facts, combined.weights, strict=True)
    ]
    return {
        "method": dict(method),
        **{key: value for key, value in optional.items() if value not in (None, {})},
        "classes": combined.predictions.classes,
        "preparation": dict(preparation),
        **more,
        "members": rows,
    }


def member_table(described: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The members of an ``ensemble.json``, a row each, of what every member has and its weight."""
    return [{column: row.get(column) for column in MEMBER_COLUMNS} for row in described["members"]]


def diversity_tables(members: Mapping[str, Predictions]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How differently members err on the test split (:func:`graft.statistics.diversity`), and how the accuracy of their
    mean grows with their number (:func:`graft.statistics.soft_vote_accuracy`)."""
    _, label, log_prob = align(members).splits["test"]
    hits = {name: row.argmax(axis=1) == label for name, row in zip(members, log_prob, strict=True)}
    return diversity(hits), soft_vote_accuracy(log_prob, label)
