"""What came of a search: its trials as tables, the best of them, and a line that says how far it is."""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from graft.errors import UserError
from graft.tuning.folders import trial_folder
from graft.tuning.samplers import DIRECTIONS
from graft.tuning.space import distributions, encoded

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def finished_trials(trials: Iterable[FrozenTrial], asked: int) -> list[FrozenTrial]:
    """The first ``asked`` trials that came to an end by themselves, complete or pruned, in the order of their numbers."""
    return sorted((trial for trial in trials if trial.state in FINISHED), key=lambda trial: trial.number)[:asked]


def best_trials(trials: Iterable[FrozenTrial], metric: str) -> list[FrozenTrial]:
    """Complete trials from the best on; of equal ones the earlier is first."""
    sign = -1 if DIRECTIONS[metric] is StudyDirection.MAXIMIZE else 1
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    return sorted(complete, key=lambda trial: (sign * trial.values[0], trial.number))


def _counts(trials: Iterable[FrozenTrial]) -> dict[str, int]:
    found = Counter(trial.state for trial in trials if "surplus" not in trial.user_attrs)
    return {state.name.lower(): found[state] for state in (*FINISHED, TrialState.FAIL)}


def progress(trials: Sequence[FrozenTrial], asked: int, metric: str) -> str:
    """How far a search is, in a line."""
    counts = _counts(trials)
    said = (
        f"{counts['complete'] + counts['pruned']} of {asked} done ({counts['pruned']} pruned), {counts['fail']} failed"
    )
    best = best_trials(trials, metric)
    return f"{said}, best {metric} {best[0].values[0]:.4f} (trial {best[0].number})" if best else said


def _described(trial: FrozenTrial) -> dict[str, Any]:
    value = trial.values[0] if trial.values else None
    return {"trial": trial.number, "value": value, "params": dict(sorted(trial.user_attrs["values"].items()))}


def search_facts(trials: Sequence[FrozenTrial], tune: Mapping[str, Any]) -> dict[str, Any]:
    """How the search was done, and what of it is to be read with Optuna.

    Raises:
        UserError: no trial came to its end, or not all that were asked for are finished.
    """
    finished = finished_trials(trials, tune["trials"])
    if len(finished) < tune["trials"] and "timeout" not in tune:
        raise UserError(
            f"only {len(finished)} of {tune['trials']} trials are finished, though no worker is left; "
            "delete the folder workers and run snakemake again"
        )
    if not best_trials(finished, tune["metric"]):
        raise UserError(
            "no trial came to its end: every one was pruned or diverged; widen tune.space or lower its rates"
        )
    counts = _counts(finished) | {"failed": _counts(trials)["fail"]}
    return {
        "metric": tune["metric"],
        "direction": DIRECTIONS[tune["metric"]].name.lower(),
        "distributions": {
            path: json.loads(optuna.distributions.distribution_to_json(distribution))
            for path, distribution in distributions(tune["space"]).items()
        },
        "trials": {"asked": tune["trials"], **{key: counts[key] for key in ("complete", "pruned", "failed")}},
        "workers": tune.get("workers", 1),
        "sampler": tune["sampler"],
        "pruner": tune["pruner"],
    }


def best_facts(trials: Sequence[FrozenTrial], tune: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The best trials of the search ``name``, of which there are ``top_k``: nothing that more trials would change alone."""
    best = best_trials(finished_trials(trials, tune["trials"]), tune["metric"])
    return {
        "search": name,
        "direction": DIRECTIONS[tune["metric"]].name.lower(),
        "best": [_described(trial) for trial in best[: tune.get("top_k", 1)]],
    }


def trials_table(trials: Sequence[FrozenTrial], space: Mapping[str, Any]) -> pd.DataFrame:
    """A row per finished trial: number, state, value (of a pruned one its last), epochs that ran, whether it is one of
    ``start_from``, and a column per parameter of ``space`` as Optuna stores it (``null`` in a word), empty where the trial has none."""

    def row(trial: FrozenTrial) -> dict[str, Any]:
        values = {
            path: "null" if value is None else value
            for path, value in encoded(space, trial.user_attrs["values"]).items()
        }
        return {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "value": trial.values[0] if trial.values else None,
            "epochs": len(trial.intermediate_values),
            "start": "start" in trial.user_attrs,
            **{path: values.get(path) for path in space},
        }

    return pd.DataFrame([row(trial) for trial in trials])


def intermediate_table(trials: Sequence[FrozenTrial]) -> pd.DataFrame:
    """A row per trial and epoch, which counts from 1: what was reported."""
    rows = [(t.number, epoch, value) for t in trials for epoch, value in sorted(t.intermediate_values.items())]
    return pd.DataFrame(rows, columns=["trial", "epoch", "value"])


def gather_predictions(trials: Iterable[FrozenTrial], state: Path, name: str, folder: Path) -> list[Path]:
    """Copy what each complete trial says of its images to ``<number>.npz`` in ``folder``, and delete others there.

    Of trials that are not complete nothing is left in ``state`` either, which a killed worker may not have tidied.
    """
    complete = [trial.number for trial in trials if trial.state is TrialState.COMPLETE]
    paths, beside = [folder / f"{number}.npz" for number in complete], folder / ".beside.npz"
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in zip(complete, paths, strict=True):
        source = trial_folder(state, name, number) / "predictions.npz"
        if not source.exists():
            raise UserError(f"{source}: missing; delete {state} and run snakemake again, which searches anew")
        shutil.copyfile(source, beside)  # one name for all: graft.files.replacing looks through the folder for each
        beside.replace(path)
    for path in set(folder.glob("*.npz")) - set(paths):
        path.unlink()
    kept = {trial_folder(state, name, number) for number in complete}
    for left in set(trial_folder(state, name, 0).parent.glob("trial*")) - kept:
        shutil.rmtree(left, ignore_errors=True)
    return paths


def best_of(search: Mapping[str, Any], reruns: Iterable[Mapping[str, Any]], tune: Mapping[str, Any]) -> dict[str, Any]:
    """The trial to train with: the best of the search, or the best in the mean of its re-runs where there are any.

    ``search`` is what :func:`best_facts` says, ``reruns`` have ``trial``, ``seed`` and ``value``, which is none of one that
    diverged: such a trial is not chosen. The best of many noisy
    values is better than it deserves; its re-runs, which had no part in its choice, are not.
    """
    values: dict[int, dict[int, float]] = {}
    for run in reruns:
        values.setdefault(run["trial"], {})[run["seed"]] = run["value"]
    whole = [trial for trial in search["best"] if None not in values.get(trial["trial"], {0: None}).values()]

    def rerun(trial: Mapping[str, Any]) -> dict[str, Any]:
        seeds, found = zip(*sorted(values[trial["trial"]].items()), strict=True)
        spread = {"mean": float(np.mean(found)), "std": float(np.std(found, ddof=1))}
        return {**trial, "rerun": {"seeds": list(seeds), "values": list(found), **spread}}

    sign = -1 if search["direction"] == "maximize" else 1
    ranked = sorted(map(rerun, whole), key=lambda trial: sign * trial["rerun"]["mean"])
    best = (ranked or search["best"])[0]
    chosen = {key: best[key] for key in ("trial", "value", "params")}
    described = {"space": tune["space"], "seed": tune["seed"], "search": search["search"]}
    return chosen | described | ({"reruns": ranked} if ranked else {})
