"""How hyperparameters are searched: an Optuna study that prunes, survives being killed, and sees validation only."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from graft.arrays import Data
from graft.errors import UserError
from graft.runs import train_run
from graft.spec import set_paths
from graft.training import DivergedError

log = logging.getLogger(__name__)

DIRECTIONS = {"val_loss": StudyDirection.MINIMIZE, "val_accuracy": StudyDirection.MAXIMIZE}
SAMPLERS: dict[str, type[BaseSampler]] = {"tpe": TPESampler, "random": RandomSampler}
PRUNERS: dict[str, type[BasePruner]] = {"median": MedianPruner, "none": NopPruner}

Report = Callable[[int, float], None]
Objective = Callable[[dict[str, Any], Report], float]


def _build(classes: Mapping[str, Any], described: Mapping[str, Any], **more: Any) -> Any:
    return classes[described["name"]](**{k: v for k, v in described.items() if k != "name"}, **more)


def _suggest(trial: optuna.Trial, path: str, dimension: Mapping[str, Any]) -> Any:
    if "choices" in dimension:
        return trial.suggest_categorical(path, dimension["choices"])
    low, high = dimension["low"], dimension["high"]
    suggest = trial.suggest_float if isinstance(low, float) or isinstance(high, float) else trial.suggest_int
    return suggest(path, low, high, log=dimension["log"])


def search(
    database: Path,
    name: str,
    objective: Objective,
    *,
    space: Mapping[str, Mapping[str, Any]],
    trials: int,
    metric: str,
    seed: int,
    sampler: Mapping[str, Any],
    pruner: Mapping[str, Any],
) -> optuna.Study:
    """Run Optuna until the study ``name`` in the SQLite file ``database`` has ``trials`` finished trials.

    ``objective`` takes the values of a trial by path and a function to report ``(epoch, value)`` with, which ends a
    trial that is pruned; it returns the final value. A study that was killed goes on: the interrupted trial is marked
    failed and made up for, and each trial's sampler is seeded by its place, so the result is that of an undisturbed one.

    Raises:
        UserError: no trial came to its end.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()
    study = optuna.create_study(
        storage=f"sqlite:///{database}",
        study_name=name,
        direction=DIRECTIONS[metric],
        pruner=_build(PRUNERS, pruner),
        load_if_exists=True,
    )
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)

    def run(trial: optuna.Trial) -> float:
        def report(epoch: int, value: float) -> None:
            trial.report(value, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        try:
            return objective({path: _suggest(trial, path, dimension) for path, dimension in space.items()}, report)
        except DivergedError as error:
            log.info("%s", error)
            raise optuna.TrialPruned from error

    while (finished := len(finished_trials(study))) < trials:
        study.sampler = _build(SAMPLERS, sampler, seed=seed * 100_003 + finished)
        study.optimize(run, n_trials=1)
        log.info("trial %d of %d: %s", finished + 1, trials, study.trials[-1].state.name.lower())
    if not study.get_trials(states=(TrialState.COMPLETE,)):
        raise UserError(
            "no trial came to its end: every one was pruned or diverged; widen tune.space or lower its rates"
        )
    return study


def tune_run(
    database: Path, spec: Mapping[str, Any], data: Data, tune: Mapping[str, Any], depends: Sequence[Any]
) -> optuna.Study:
    """Search the fields of ``spec`` that ``tune`` opens, both plain values as a study's model dumps them.

    ``depends`` is whatever else decides a trial's value. All of it names the Optuna study, so that trials of another
    search are never mixed in; the number of trials alone does not, so that more can be asked for.
    """
    metric, search_options = tune["metric"], {key: value for key, value in tune.items() if key != "epochs"}

    def objective(values: dict[str, Any], report: Report) -> float:
        chosen = set_paths(spec, values)
        trained = train_run(
            chosen,
            data,
            tune["seed"],
            epochs=tune.get("epochs"),
            on_epoch=lambda epoch, logs: report(epoch, logs[metric]),
        )
        seen = [epoch[metric] for epoch in trained.history]
        best = min if DIRECTIONS[metric] is StudyDirection.MINIMIZE else max
        return best(seen) if "early_stopping" in chosen["train"] else seen[-1]

    described = [spec, {key: value for key, value in tune.items() if key != "trials"}, *depends]
    name = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
    return search(database, name, objective, **search_options)


def finished_trials(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that came to an end by themselves: complete or pruned, not those that were killed."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def best_of(study: optuna.Study) -> dict[str, Any]:
    """The best complete trial: its number counted among the finished ones, value, and parameters by path."""
    best = study.best_trial
    numbers = [trial.number for trial in finished_trials(study)]
    return {"trial": numbers.index(best.number), "value": best.value, "params": dict(sorted(best.params.items()))}


def trials_table(study: optuna.Study) -> pd.DataFrame:
    """One row per finished trial: number, state, value (of a pruned one its last), epochs that ran, and parameters."""
    rows = []
    for number, trial in enumerate(finished_trials(study)):
        steps = trial.intermediate_values
        value = trial.value if trial.value is not None else steps[max(steps)] if steps else None
        rows.append(
            {"trial": number, "state": trial.state.name.lower(), "value": value, "epochs": len(steps)} | trial.params
        )
    return pd.DataFrame(rows)
