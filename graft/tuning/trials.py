"""What a trial of a network does: it is trained with the values that were chosen, and judged on the validation split."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from graft.arrays import Data
from graft.checkpoints import Checkpoints
from graft.files import replacing
from graft.predictions import save_predictions
from graft.spec import chosen_spec
from graft.tuning.folders import trial_checkpoints, trial_folder
from graft.tuning.samplers import DIRECTIONS

OF_NO_TRIAL = ("trials", "workers", "timeout", "top_k", "reruns", "refit", "storage")
"""What a study says of a search that changes no trial of it."""


def search_name(spec: Mapping[str, Any], tune: Mapping[str, Any], depends: Sequence[Any]) -> str:
    """The name of a search: all that decides its trials, so that those of another one are never mixed in.

    ``depends`` is what else decides them. Their number does not, so that more can be asked for.
    """
    described = [spec, {key: value for key, value in tune.items() if key not in OF_NO_TRIAL}, *depends]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def trial_epochs(train: Mapping[str, Any], tune: Mapping[str, Any]) -> int:
    """How many epochs a trial has at most, those of ``head_first`` among them."""

    def most(path: str, given: int) -> int:
        dimension = tune["space"].get(path, {"choices": [given]})
        return int(dimension["high"] if "high" in dimension else max(dimension["choices"]))

    epochs = tune.get("epochs") or most("train.epochs", train["epochs"])
    return epochs + most("train.head_first.epochs", train.get("head_first", {}).get("epochs", 0))


def trial_value(history: Sequence[Mapping[str, float]], metric: str, train: Mapping[str, Any]) -> float:
    """The metric of the weights that a training ends with: of its best epoch if it stops early, else of its last."""
    seen = [epoch[metric] for epoch in history]
    best = min if DIRECTIONS[metric] is optuna.study.StudyDirection.MINIMIZE else max
    return best(seen) if "early_stopping" in train else seen[-1]


def train_trial(
    spec: Mapping[str, Any],
    data: Data,
    tune: Mapping[str, Any],
    *,
    seed: int | None = None,
    report: Callable[[int, float], None] = lambda epoch, value: None,
    checkpoints: Checkpoints | None = None,
) -> tuple[Any, float]:
    """Train as a trial does, from its seed or another one; returns what was trained, and its value."""
    from graft.runs import train_run

    metric, last = tune["metric"], trial_epochs(spec["train"], {"space": {}, "epochs": tune.get("epochs")})

    def on_epoch(epoch: int, logs: Mapping[str, float]) -> None:
        try:
            report(epoch, logs[metric])
        except optuna.TrialPruned:
            if epoch < last:  # else it would save nothing
                raise

    trained = train_run(
        spec,
        data,
        tune["seed"] if seed is None else seed,
        epochs=tune.get("epochs"),
        on_epoch=on_epoch,
        checkpoints=checkpoints,
    )
    return trained, trial_value(trained.history, metric, spec["train"])


def objective(
    spec: Mapping[str, Any],
    data: Data,
    tune: Mapping[str, Any],
    state: Path,
    name: str,
    start: Callable[[], None] = lambda: None,
) -> Callable[[dict[str, Any], int, Callable[[int, float], None]], float]:
    """What a trial of the search ``name`` over the fields of ``spec`` does, for :func:`~graft.tuning.workers.work`.

    ``start`` is called first in the trial's own process. The predictions of a trial that comes to its end are in its
    folder below ``state``. A trial whose loss is not finite is pruned.
    """

    def run(values: dict[str, Any], number: int, report: Callable[[int, float], None]) -> float:
        start()
        from graft.runs import predict_run
        from graft.training import DivergedError

        chosen = chosen_spec(spec, tune["space"], values)
        try:
            checkpoints = trial_checkpoints(state, name, number, chosen)
            trained, value = train_trial(chosen, data, tune, report=report, checkpoints=checkpoints)
        except DivergedError as error:
            raise optuna.TrialPruned(str(error)) from error
        with replacing(trial_folder(state, name, number) / "predictions.npz") as beside:
            save_predictions(beside, predict_run(trained.network, data, chosen.get("test_time", ())))
        return value

    return run


def tidy(state: Path, name: str, ranked: Callable[[], Sequence[int]], keep: int) -> Callable[[int, str], None]:
    """What to do after a trial: of one that failed or was pruned nothing is kept, of the ``keep`` best their checkpoints.

    ``ranked`` says the numbers of the complete trials, from the best on.
    """

    def after(number: int, became: str) -> None:
        if became in ("pruned", "failed"):
            shutil.rmtree(trial_folder(state, name, number), ignore_errors=True)
        for fallen in ranked()[keep:] if keep else [number]:
            shutil.rmtree(trial_folder(state, name, fallen) / "state", ignore_errors=True)

    return after
