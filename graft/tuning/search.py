"""A search that several workers share: each trial is dealt out once, and exactly as many finish as are asked for.

Nothing but the storage is shared, and a worker may die at any moment. Three rules keep the count right:

- A trial is made running and with an owner, and is its owner's alone. A worker that is started again takes up the trial
  that it was at; trials of workers that the search no longer has are those of worker 0.
- A trial is one of those asked for if fewer than so many that did not fail have a lower number; else it is given up before
  it begins. Numbers are given by the storage, and a trial that failed stays failed, so all workers agree.
- A known point, and the second try of a trial that failed, have a name. Of trials with one name, the lowest number has it.
"""

import logging
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
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
"""How often a worker may die in one epoch of a trial."""

POLL_SECONDS = 5.0
CLOCK_SECONDS = 2.0
"""How much the time at which a process started may seem to differ."""


class Claimed(NamedTuple):
    """A trial that this worker is to run, with the value of each parameter by its path."""

    trial: optuna.Trial
    values: dict[str, Any]


class GivenUpError(Exception):
    """The trial has come to its end otherwise: this worker was silent for so long that it was started a second time."""


def _started(pid: int) -> float:
    """When a process was started, in seconds since the machine was: clocks may be set."""
    started: float = psutil.Process(pid).create_time() - psutil.boot_time()
    return started


def _this_process() -> dict[str, Any]:
    return {"host": platform.node(), "pid": os.getpid(), "since": _started(os.getpid())}


def _is_gone(process: Mapping[str, Any]) -> bool:
    """Whether a process of this machine has ended; of another machine's only its signs of life tell."""
    if process["host"] != platform.node():
        return False
    try:
        return bool(abs(_started(process["pid"]) - process["since"]) > CLOCK_SECONDS)
    except psutil.NoSuchProcess:
        return True


class Search:
    """The share that one of the workers has in an Optuna study.

    ``tune`` is what a study says of it, as plain values; ``worker`` counts from 0; a trial may take so many ``epochs``;
    ``stops`` says whether this process was asked to end. The study is made if it is not there.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        tune: Mapping[str, Any],
        worker: int,
        epochs: int,
        stops: Callable[[], bool] = lambda: False,
    ) -> None:
        self.tune, self.worker, self.workers, self.stops = tune, worker, tune.get("workers", 1), stops
        self.study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction=DIRECTIONS[tune["metric"]],
            pruner=build_pruner(tune["pruner"], epochs=epochs),
            load_if_exists=True,
        )
        self._failed_before = self._count_errors()

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states or None)

    def _set(self, trial_id: int, **attributes: Any) -> None:
        try:
            for key, value in attributes.items():
                self.study._storage.set_trial_user_attr(trial_id, key, value)
        except optuna.exceptions.UpdateFinishedTrialError as error:
            raise GivenUpError from error

    # dealing out

    def claim(self) -> Claimed | None:
        """The next trial of this worker, or ``None`` if all that were asked for are finished or under way, or the process
        was asked to end.

        Raises:
            UserError: too many trials failed.
        """
        if (unfinished := self._unfinished()) is not None:
            return self._take_up(unfinished)
        asked = self.tune["trials"]
        while not self.stops():
            trials = self._trials()
            alive = [trial for trial in trials if trial.state is not TrialState.FAIL]
            if len(alive) >= asked:
                return None
            self._stop_if_too_many_failed()
            named = self._next_name(trials)
            place = self._place(trials)
            owner = {"worker": self.worker, "process": _this_process(), "place": place}
            begun = create_trial(
                state=TrialState.RUNNING,
                user_attrs=owner | ({"named": named[0], **named[2]} if named else {}),
                system_attrs={"fixed_params": named[1]} if named else {},
            )
            number = self.study._storage.create_new_trial(self.study._study_id, begun)
            self.study.sampler = self._sampler(place)
            trial = optuna.Trial(self.study, number)
            if not self._gave_up(trial):
                return self._begin(trial, deaths=0)
        return None

    def _gave_up(self, trial: optuna.Trial) -> bool:
        """Give up a trial that has not begun where other workers were faster, by a hair, with the last one or its name."""
        lower = [other for other in self._trials() if other.number < trial.number]
        alive = sum(other.state is not TrialState.FAIL for other in lower)
        name = trial.user_attrs.get("named")
        same = any(o.user_attrs.get("named") == name and "surplus" not in o.user_attrs for o in lower)
        if alive < self.tune["trials"] and not (name is not None and same):
            return False
        self._set(trial._trial_id, surplus=True)
        self._tell(trial, state=TrialState.FAIL)
        return True

    def _place(self, trials: Sequence[FrozenTrial]) -> int:
        """How many trials there have been, but for those that never began."""
        return sum("surplus" not in trial.user_attrs for trial in trials)

    def _sampler(self, place: int) -> optuna.samplers.BaseSampler:
        seed = ((self.tune["seed"] * 1009 + self.worker) * 100_003 + place) % 2**32
        return build_sampler(self.tune["sampler"], self.tune["space"], seed=seed, workers=self.workers)

    def _next_name(self, trials: Sequence[FrozenTrial]) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
        """The name, the parameters and the further attributes of the first known point or second try that nobody is at."""
        taken = {t.user_attrs.get("named") for t in trials if "surplus" not in t.user_attrs}
        for number, point in enumerate(self.tune.get("start_from", [])):
            if (name := f"start {number}") not in taken:
                return name, encoded(self.tune["space"], point), {"start": number}
        for trial in trials:
            attributes = trial.user_attrs
            name = f"again {trial.number}"
            if "error" in attributes and trial.params and "again" not in attributes and name not in taken:
                start = {"start": attributes["start"]} if "start" in attributes else {}
                return name, dict(trial.params), {"again": trial.number, **start}
        return None

    def _begin(self, trial: optuna.Trial, deaths: int) -> Claimed:
        values = suggest(trial, self.tune["space"])
        beat(trial)
        self._set(trial._trial_id, deaths=(0, deaths), values=values)
        return Claimed(trial, values)

    # taking up

    def _unfinished(self) -> FrozenTrial | None:
        """The trial that this worker was at when it died, or one of a worker that the search no longer has.

        Waits where such a trial may still be run, until its process has ended or given no sign of life for long.
        """
        while not self.stops():
            unsure = None
            for trial in self._trials(TrialState.RUNNING):
                worker, process = trial.user_attrs["worker"], trial.user_attrs["process"]
                if worker != self.worker and not (self.worker == 0 and worker >= self.workers):
                    continue
                if _is_gone(process) or is_stale(self.study, trial):
                    return trial
                unsure = trial.number, process
            if unsure is None:
                return None
            log.info("waits for a sign of whether trial %d is still run by %s", *unsure)
            time.sleep(POLL_SECONDS)
        return None

    def _take_up(self, trial: FrozenTrial) -> Claimed | None:
        log.info("trial %d is taken up again", trial.number)
        self._set(trial._trial_id, worker=self.worker, process=_this_process())
        self.study.sampler = self._sampler(trial.user_attrs["place"])
        live = optuna.Trial(self.study, trial._trial_id)
        epochs, deaths = trial.user_attrs.get("deaths", (0, 0))
        deaths = deaths + 1 if epochs == len(trial.intermediate_values) else 1
        if deaths > PATIENCE:
            self.fail(live, f"its worker died {deaths} times in the same epoch, as when memory runs out")
            return self.claim()
        if "values" not in trial.user_attrs and self._gave_up(live):
            return self.claim()
        if "values" not in trial.user_attrs:  # draw all of them again, in their order, not only those that are missing
            live._cached_frozen_trial.params, live._cached_frozen_trial.distributions = {}, {}
            return self._begin(live, deaths)
        beat(live)
        self._set(trial._trial_id, deaths=(len(trial.intermediate_values), deaths))
        return Claimed(live, trial.user_attrs["values"])

    # failures

    def _count_errors(self) -> int:
        return sum("error" in trial.user_attrs for trial in self._trials(TrialState.FAIL))

    def _stop_if_too_many_failed(self) -> None:
        if self._count_errors() - self._failed_before < max(FEW_FAILURES, self.tune["trials"]):
            return
        errors = [t.user_attrs["error"] for t in self._trials(TrialState.FAIL) if "error" in t.user_attrs]
        count = len(errors) - self._failed_before
        raise UserError(f"{count} trials failed, the last with: {errors[-1]}; mend that and run snakemake again")

    # what becomes of a trial

    def _tell(self, trial: optuna.Trial, value: float | None = None, state: TrialState | None = None) -> None:
        try:
            self.study.tell(trial, value, state)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError) as error:
            raise GivenUpError from error

    def report(self, trial: optuna.Trial, epoch: int, value: float) -> bool:
        """Note a value; whether the trial is to end for it. Epochs count from 1."""
        try:
            if epoch not in self.study._storage.get_trial(trial._trial_id).intermediate_values:  # one taken up has some
                trial.report(value, epoch)
            beat(trial)
            return trial.should_prune()
        except optuna.exceptions.UpdateFinishedTrialError as error:
            raise GivenUpError from error

    def complete(self, trial: optuna.Trial, value: float) -> None:
        """Note the value that a trial came to its end with."""
        self._tell(trial, value)
        self._say(trial)

    def prune(self, trial: optuna.Trial) -> None:
        """Note that a trial ended early."""
        self._tell(trial, state=TrialState.PRUNED)
        self._say(trial)

    def fail(self, trial: optuna.Trial, error: str) -> None:
        """Give a trial up; it is tried once more with the same parameters."""
        log.info("trial %d failed: %s", trial.number, error)
        self._set(trial._trial_id, error=error)
        self._tell(trial, state=TrialState.FAIL)
        self._say(trial)

    def leave(self, trial: optuna.Trial) -> None:
        """Leave a trial to be taken up: its worker was asked to end, and does not die of it."""
        epochs = len(self.study._storage.get_trial(trial._trial_id).intermediate_values)
        self._set(trial._trial_id, deaths=(epochs, -1))

    # how far it is

    def _say(self, trial: optuna.Trial) -> None:
        log.info("trial %d; %s", trial.number, self.progress())

    def progress(self) -> str:
        """How far the search is, in a line."""
        return progress(self._trials(), self.tune["trials"], self.tune["metric"])

    def ranked(self) -> list[int]:
        """The numbers of the complete trials, from the best on."""
        return [trial.number for trial in best_trials(self._trials(), self.tune["metric"])]
