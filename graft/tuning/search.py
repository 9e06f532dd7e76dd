"""A search that several workers share: each trial is dealt out once, and exactly as many finish as are asked for.

Nothing but the storage is shared, and a worker may die at any moment. What keeps the count right is one rule: a trial is
one of those asked for if fewer than so many that did not fail have a lower number. Numbers are given by the storage, and
a trial that failed stays failed, so all workers agree. A worker that is started again takes its unfinished trial up.
"""

import logging
import os
import platform
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import optuna
import psutil
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from graft.errors import UserError
from graft.tuning.outcome import best_trials, progress
from graft.tuning.samplers import DIRECTIONS, build_pruner, build_sampler
from graft.tuning.space import encoded, suggest
from graft.tuning.storage import beat, is_stale

log = logging.getLogger(__name__)

FEW_FAILURES = 5
"""So many trials may fail however few are asked for."""

PATIENCE = 5
"""How often workers may die of one trial."""

POLL_SECONDS = 5.0
CLOCK_SECONDS = 2.0
"""How much the time at which a process started may seem to differ."""


class Claimed(NamedTuple):
    """A trial that this worker is to run, with the value of each parameter by its path."""

    trial: optuna.Trial
    values: dict[str, Any]


def _this_process() -> dict[str, Any]:
    return {"host": platform.node(), "pid": os.getpid(), "since": psutil.Process().create_time()}


def _is_gone(process: Mapping[str, Any]) -> bool:
    """Whether a process of this machine has ended; of another machine's only its signs of life tell."""
    if process["host"] != platform.node():
        return False
    try:
        return bool(abs(psutil.Process(process["pid"]).create_time() - process["since"]) > CLOCK_SECONDS)
    except psutil.NoSuchProcess:
        return True


class Search:
    """The share that one of the workers has in an Optuna study.

    ``tune`` is what a study says of it, as plain values; ``worker`` counts from 0; a trial may take so many ``epochs``.
    The study is made if it is not there.
    """

    def __init__(self, storage: BaseStorage, name: str, tune: Mapping[str, Any], worker: int, epochs: int) -> None:
        self.tune, self.worker, self.epochs, self.workers = tune, worker, epochs, tune.get("workers", 1)
        self.study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction=DIRECTIONS[tune["metric"]],
            pruner=build_pruner(tune["pruner"], epochs=epochs),
            load_if_exists=True,
        )
        if worker == 0:
            self._enqueue_known_points()

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states or None)

    def _enqueue_known_points(self) -> None:
        points = self.tune.get("start_from", [])[: self.tune["trials"]]
        known = {trial.user_attrs.get("start") for trial in self._trials()}
        for number, point in enumerate(points):
            if number not in known:
                self.study.enqueue_trial(encoded(self.tune["space"], point), user_attrs={"start": number})

    # trials of workers that died

    def _is_mine(self, trial: FrozenTrial) -> bool:
        return bool(trial.user_attrs.get("worker") == self.worker) or (self.workers == 1 and self.worker == 0)

    def _adopt(self) -> Claimed | None:
        """The trial that this worker had begun when it died; those of other dead workers fail."""
        while True:
            unsure = None
            for trial in self._trials(TrialState.RUNNING):
                process = trial.user_attrs["process"]
                dead = _is_gone(process) or is_stale(self.study, trial)
                if dead and self._is_mine(trial) and "values" in trial.user_attrs:
                    if self._deaths(trial) < PATIENCE:
                        log.info("trial %d is taken up again", trial.number)
                        live = optuna.Trial(self.study, trial._trial_id)
                        return self._begin(live, trial.user_attrs["values"], self._deaths(trial))
                    self._fail(trial, f"its worker died {PATIENCE} times in the same epoch, as when memory runs out")
                elif dead or process == _this_process():  # which is at no trial now: it was another one's by a hair
                    self._fail(trial, "its worker died", lost=True)
                elif self._is_mine(trial) or trial.user_attrs["worker"] >= self.workers:  # of which no job is left
                    unsure = trial.number, process
            if unsure is None:
                return None
            log.info("waits for a sign of whether trial %d is still run by %s", *unsure)
            time.sleep(POLL_SECONDS)

    def _deaths(self, trial: FrozenTrial) -> int:
        """How often the worker of a trial has died since the last epoch that it reported."""
        epochs, deaths = trial.user_attrs["deaths"]
        return deaths + 1 if epochs == len(trial.intermediate_values) else 1

    # dealing out

    def claim(self) -> Claimed | None:
        """The next trial of this worker, or ``None`` if all that were asked for are finished or under way.

        Raises:
            UserError: too many trials failed.
        """
        if (adopted := self._adopt()) is not None:
            return adopted
        asked = self.tune["trials"]
        while True:
            trials = self._trials()
            alive = [trial for trial in trials if trial.state is not TrialState.FAIL]
            waiting = [trial.number for trial in alive if trial.state is TrialState.WAITING]
            if len(alive) >= asked and not waiting:
                return None
            self._stop_if_too_many_failed()
            chosen = [trial for trial in trials if not {"lost", "surplus"} & trial.user_attrs.keys()]
            place = sum(trial.number < min(waiting, default=len(trials)) for trial in chosen)
            self.study.sampler = build_sampler(
                self.tune["sampler"],
                self.tune["space"],
                seed=((self.tune["seed"] * 1009 + self.worker) * 100_003 + place) % 2**32,
                workers=self.workers,
            )
            trial = self._take([trial for trial in alive if trial.number in waiting])
            if trial is None:  # other workers were faster
                continue
            before = sum(other.number < trial.number and other.state is not TrialState.FAIL for other in self._trials())
            if before >= asked:  # so they were
                trial.set_user_attr("surplus", True)
                self.study.tell(trial, state=TrialState.FAIL)
                continue
            return self._begin(trial, suggest(trial, self.tune["space"]))

    def _take(self, waiting: Sequence[FrozenTrial]) -> optuna.Trial | None:
        """One of the trials that wait, or a new one if none does. It is never without an owner, not even for a moment."""
        storage, owner = self.study._storage, {"worker": self.worker, "process": _this_process()}
        if not waiting:
            begun = create_trial(state=TrialState.RUNNING, user_attrs=owner)
            return optuna.Trial(self.study, storage.create_new_trial(self.study._study_id, begun))
        for trial in waiting:
            if storage.get_trial(trial._trial_id).state is not TrialState.WAITING:
                continue
            self._own(trial._trial_id, owner)
            if storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                self._own(trial._trial_id, owner)  # where another one has tried meanwhile
                return optuna.Trial(self.study, trial._trial_id)
        return None

    def _own(self, trial_id: int, owner: Mapping[str, Any]) -> None:
        for key, value in owner.items():
            self.study._storage.set_trial_user_attr(trial_id, key, value)

    def _begin(self, trial: optuna.Trial, values: dict[str, Any], deaths: int = 0) -> Claimed:
        epochs = len(self.study._storage.get_trial(trial._trial_id).intermediate_values)
        self._own(trial._trial_id, {"worker": self.worker, "process": _this_process()})
        trial.set_user_attr("deaths", (epochs, deaths))
        trial.set_user_attr("values", values)
        beat(trial)
        return Claimed(trial, values)

    def _stop_if_too_many_failed(self) -> None:
        errors = [t.user_attrs["error"] for t in self._trials(TrialState.FAIL) if "error" in t.user_attrs]
        if len(errors) >= max(FEW_FAILURES, self.tune["trials"]):
            raise UserError(f"{len(errors)} trials failed, the last with: {errors[-1]}")

    # what becomes of a trial

    def report(self, trial: optuna.Trial, epoch: int, value: float) -> bool:
        """Note a value; whether the trial is to end for it, if that saves an epoch at all. Epochs count from 1."""
        if epoch not in self.study._storage.get_trial(trial._trial_id).intermediate_values:  # one taken up has some
            trial.report(value, epoch)
        beat(trial)
        return trial.should_prune() and epoch < self.epochs

    def complete(self, trial: optuna.Trial, value: float) -> None:
        self.study.tell(trial, value)
        self._say(trial)

    def prune(self, trial: optuna.Trial) -> None:
        self.study.tell(trial, state=TrialState.PRUNED)
        self._say(trial)

    def fail(self, trial: optuna.Trial, error: str) -> None:
        """Give a trial up, and have it tried once more with the same parameters."""
        self._fail(self.study._storage.get_trial(trial._trial_id), error)
        self._say(trial)

    def _fail(self, trial: FrozenTrial, error: str, *, lost: bool = False) -> None:
        log.info("trial %d failed: %s", trial.number, error)
        attributes = trial.user_attrs
        self.study._storage.set_trial_user_attr(trial._trial_id, "lost" if lost else "error", error)
        again = trial.params if "values" in attributes else trial.system_attrs.get("fixed_params", {})
        kept: dict[str, Any] = {key: attributes[key] for key in ("start", "retry_of") if key in attributes}
        if lost and again and attributes.get("losses", 0) < PATIENCE:
            self.study.enqueue_trial(again, user_attrs={**kept, "losses": attributes.get("losses", 0) + 1})
        elif not lost and "retry_of" not in attributes:
            self.study.enqueue_trial(again, user_attrs={**kept, "retry_of": trial.number})
        self.study.tell(trial.number, state=TrialState.FAIL)

    # how far it is

    def _say(self, trial: optuna.Trial) -> None:
        log.info("trial %d; %s", trial.number, self.progress())

    def progress(self) -> str:
        """How far the search is, in a line."""
        return progress(self._trials(), self.tune["trials"], self.tune["metric"])

    def ranked(self) -> list[int]:
        """The numbers of the complete trials, from the best on."""
        return [trial.number for trial in best_trials(self._trials(), self.tune["metric"])]
