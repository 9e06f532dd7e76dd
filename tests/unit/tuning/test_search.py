"""What deals trials out, with workers that are functions here; :mod:`test_workers` runs them as processes."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

import graft.tuning.search
from graft.errors import UserError
from graft.tuning.outcome import finished_trials
from graft.tuning.search import Claimed, GivenUpError, Search
from graft.tuning.space import suggest
from graft.tuning.storage import open_storage

SPACE = {
    "train.learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
    "head.units": {"low": 1, "high": 64, "log": False},
    "train.optimizer.name": {"choices": ["adam", "sgd"]},
}
TUNE: dict[str, Any] = {
    "space": SPACE,
    "trials": 8,
    "workers": 1,
    "metric": "val_loss",
    "seed": 3,
    "sampler": {"name": "tpe", "n_startup_trials": 2, "multivariate": True},
    "pruner": {"name": "none"},
}
PRUNERS = {
    "none": {"name": "none"},
    "median": {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 0},
    "asha": {"name": "asha", "reduction_factor": 2},
    "hyperband": {"name": "hyperband", "reduction_factor": 2},
}
SAMPLERS = {
    "tpe": TUNE["sampler"],
    "random": {"name": "random"},
    "cmaes": {"name": "cmaes", "n_startup_trials": 2},
}
EPOCHS = 8


class DiesError(Exception):
    """Stands for what kills a worker."""


def height(values: dict[str, Any]) -> float:
    """Least at a rate of 0.01 with sgd and 32 units."""
    rate, units = np.log10(values["train.learning_rate"]), values["head.units"]
    return float((rate + 2) ** 2 + abs(units - 32) / 32 + (values.get("train.optimizer.name") == "adam"))


def run_trial(search: Search, claimed: Claimed, dies_at: int | None = None) -> None:
    """One trial, which falls to its value over the epochs; ``dies_at`` is the epoch before whose report it dies."""
    for epoch in range(1, EPOCHS + 1):
        if epoch == dies_at:
            raise DiesError
        if search.report(claimed.trial, epoch, height(claimed.values) + 1 / epoch):
            search.prune(claimed.trial)
            return
    if dies_at == EPOCHS + 1:
        raise DiesError
    search.complete(claimed.trial, height(claimed.values))


def open_search(folder: Path, worker: int = 0, **tune: Any) -> Search:
    return Search(open_storage("journal", folder), "s", TUNE | tune, worker, EPOCHS)


def run(folder: Path, **tune: Any) -> list[FrozenTrial]:
    search = open_search(folder, **tune)
    while (claimed := search.claim()) is not None:
        run_trial(search, claimed)
    return search.study.get_trials(deepcopy=False)


def table(trials: list[FrozenTrial], count: int = 8) -> list[tuple[Any, ...]]:
    """All that a finished trial is, but for its times."""
    return [
        (trial.number, trial.state.name, trial.values, trial.params, trial.intermediate_values)
        for trial in finished_trials(trials, count)
    ]


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """A function after which this process counts as another one, and the one that it was as dead."""
    numbers = iter(range(10**6))
    now = [next(numbers)]
    monkeypatch.setattr(graft.tuning.search, "_this_process", lambda: {"host": "here", "pid": now[0], "since": 0.0})
    monkeypatch.setattr(graft.tuning.search, "_is_gone", lambda process: process["pid"] != now[0])

    def die() -> None:
        now[0] = next(numbers)

    yield die


def test_there_are_as_many_finished_trials_as_asked_for(tmp_path: Path) -> None:
    trials = run(tmp_path)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 8
    assert len({str(trial.params) for trial in trials}) == 8


@pytest.mark.parametrize("pruner", PRUNERS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_worker_that_dies_ends_with_the_bits_of_one_that_did_not(
    sampler: str, pruner: str, tmp_path: Path, dead: Callable[[], None]
) -> None:
    space = {path: of for path, of in SPACE.items() if sampler != "cmaes" or "choices" not in of}
    tune = {"sampler": SAMPLERS[sampler], "pruner": PRUNERS[pruner], "space": space}
    undisturbed = run(tmp_path / "undisturbed", **tune)
    chance = random.Random(f"{sampler} {pruner}")
    for _ in range(100):
        search = open_search(tmp_path / "killed", **tune)
        try:
            while (claimed := search.claim()) is not None:
                run_trial(search, claimed, chance.choice([*[None] * 8, *range(1, EPOCHS + 2)]))
            break
        except DiesError:
            dead()
    killed = search.study.get_trials(deepcopy=False)
    assert table(killed) == table(undisturbed)
    assert len(table(killed)) == 8
    if pruner != "none":
        assert {trial.state for trial in killed} == {TrialState.COMPLETE, TrialState.PRUNED}


@pytest.mark.parametrize("missing", range(len(SPACE)))
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("pruner", ["none", "hyperband"])
def test_a_worker_that_dies_before_it_knows_all_values_ends_with_the_same(
    missing: int, sampler: str, pruner: str, tmp_path: Path, dead: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {path: of for path, of in SPACE.items() if sampler != "cmaes" or "choices" not in of}
    tune = {"sampler": SAMPLERS[sampler], "pruner": PRUNERS[pruner], "space": space}
    undisturbed = run(tmp_path / "undisturbed", **tune)
    run(tmp_path / "killed", **tune | {"trials": 4})

    def dies(trial: optuna.Trial, space: Any) -> Any:
        suggest(trial, dict(list(space.items())[:missing]))
        raise DiesError

    with monkeypatch.context() as patched:
        patched.setattr(graft.tuning.search, "suggest", dies)
        with pytest.raises(DiesError):
            open_search(tmp_path / "killed", **tune).claim()
    dead()
    assert table(run(tmp_path / "killed", **tune)) == table(undisturbed)


def test_more_trials_go_on_from_those_that_are_there(tmp_path: Path) -> None:
    run(tmp_path, trials=5)
    assert table(run(tmp_path)) == table(run(tmp_path / "at once"))
    assert open_search(tmp_path).claim() is None


def test_another_seed_searches_elsewhere(tmp_path: Path) -> None:
    one, other = run(tmp_path / "one"), run(tmp_path / "other", seed=4)
    assert not {str(trial.params) for trial in one} & {str(trial.params) for trial in other}


def test_accuracy_is_maximised(tmp_path: Path) -> None:
    search = open_search(tmp_path, metric="val_accuracy")
    assert search.study.direction.name == "MAXIMIZE"
    for _ in range(3):
        claimed = search.claim()
        assert claimed
        search.complete(claimed.trial, height(claimed.values))
    values = [trial.values[0] for trial in search.study.trials]
    assert search.ranked() == sorted(range(3), key=lambda number: -values[number])


@pytest.mark.parametrize("seed", range(8))
def test_workers_that_fail_and_die_at_any_moment_finish_exactly_the_trials_asked_for(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, dead, now = random.Random(seed), set(), [0]
    monkeypatch.setattr(graft.tuning.search, "_this_process", lambda: {"host": "here", "pid": now[0], "since": 0.0})
    monkeypatch.setattr(graft.tuning.search, "_is_gone", lambda process: process["pid"] in dead)
    pids = iter(range(10**6))

    def worker(number: int) -> dict[str, Any]:
        return {"number": number, "pid": next(pids), "search": None, "claimed": None, "epoch": 0}

    workers = [worker(number) for number in range(3)]
    for _ in range(2000):
        if not workers:
            break
        it = chance.choice(workers)
        now[0] = it["pid"]
        if it["search"] is None:
            it["search"] = open_search(tmp_path, it["number"], workers=3, trials=12, sampler={"name": "random"})
        elif chance.random() < 0.05:
            dead.add(it["pid"])
            workers[workers.index(it)] = worker(it["number"])
        elif it["claimed"] is None:
            it["claimed"], it["epoch"] = it["search"].claim(), 0
            if it["claimed"] is None:
                workers.remove(it)
        elif chance.random() < 0.03:
            it["search"].fail(it["claimed"].trial, "an error")
            it["claimed"] = None
        elif it["epoch"] < 2:
            it["epoch"] += 1
            it["search"].report(it["claimed"].trial, it["epoch"], 1.0)
        else:
            chance.choice([it["search"].prune, lambda trial, it=it: it["search"].complete(trial, 1.0)])(
                it["claimed"].trial
            )
            it["claimed"] = None
    assert not workers
    states = Counter(trial.state for trial in open_search(tmp_path, 1).study.trials)
    assert states[TrialState.COMPLETE] + states[TrialState.PRUNED] == 12
    assert not states[TrialState.RUNNING]
    assert not states[TrialState.WAITING]


def test_a_trial_that_failed_is_tried_once_more_with_the_same_parameters(tmp_path: Path) -> None:
    search = open_search(tmp_path, trials=3)
    claimed = [search.claim()]
    for _ in range(2):
        assert claimed[-1]
        search.fail(claimed[-1].trial, "out of memory")
        claimed.append(search.claim())
    first, again, other = claimed
    assert first and again and other
    assert first.values == again.values != other.values
    run_trial(search, other)
    assert len(run(tmp_path, trials=3)) == 5
    errors = [trial.user_attrs.get("error") for trial in search.study.trials]
    assert errors == ["out of memory", "out of memory", None, None, None]


def test_a_trial_that_kills_its_worker_each_time_is_given_up(tmp_path: Path, dead: Callable[[], None]) -> None:
    values = []
    for _ in range(13):
        claimed = open_search(tmp_path, trials=1).claim()
        assert claimed
        values.append(claimed.values)
        dead()
    assert [value == values[0] for value in values] == [True] * 12 + [False]


def test_a_search_whose_trials_all_fail_ends_with_the_reason(tmp_path: Path) -> None:
    search = open_search(tmp_path, trials=2)
    for _ in range(5):
        claimed = search.claim()
        assert claimed
        search.fail(claimed.trial, "dcnn cannot be built for 8 px images")
    with pytest.raises(UserError, match="5 trials failed, the last with: dcnn cannot be built"):
        search.claim()


def test_errors_of_an_earlier_run_do_not_count_against_a_later_one(tmp_path: Path) -> None:
    for _ in range(2):
        search = open_search(tmp_path, trials=2)
        for _ in range(5):
            claimed = search.claim()
            assert claimed
            search.fail(claimed.trial, "the GPU is busy")
        with pytest.raises(UserError, match="5 trials failed, the last with: the GPU is busy; mend that"):
            search.claim()
    assert len(finished_trials(run(tmp_path, trials=2), 2)) == 2


def test_a_trial_that_came_to_its_end_otherwise_cannot_be_finished(tmp_path: Path) -> None:
    search = open_search(tmp_path)
    claimed = search.claim()
    assert claimed
    search.fail(claimed.trial, "another process of this worker says so")
    for late in (
        lambda trial: search.report(trial, 1, 1.0),
        lambda trial: search.complete(trial, 1.0),
        search.prune,
        lambda trial: search.fail(trial, "late"),
    ):
        with pytest.raises(GivenUpError):
            late(claimed.trial)


def test_trials_of_workers_that_the_search_no_longer_has_are_taken_up(tmp_path: Path, dead: Callable[[], None]) -> None:
    for worker in range(3):
        assert open_search(tmp_path, worker, workers=3).claim()
    dead()
    trials = run(tmp_path, workers=1)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 8


def test_a_worker_waits_for_itself_on_another_machine_until_it_is_asked_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graft.tuning.search, "POLL_SECONDS", 0.01)
    elsewhere = {"host": "elsewhere", "pid": 1, "since": 0.0}
    with monkeypatch.context() as patched:
        patched.setattr(graft.tuning.search, "_this_process", lambda: elsewhere)
        begun = open_search(tmp_path).claim()
    search, looks = open_search(tmp_path), iter([False, False, False, True, True, True])
    search.stops = lambda: next(looks)
    assert search.claim() is None
    search.stops = lambda: False
    monkeypatch.setattr(graft.tuning.search, "is_stale", lambda study, trial: True)
    taken = search.claim()
    assert begun and taken
    assert (taken.trial.number, taken.values) == (begun.trial.number, begun.values)


def test_workers_that_are_asked_to_end_do_not_die_of_a_trial(tmp_path: Path, dead: Callable[[], None]) -> None:
    values = set()
    for _ in range(20):
        search = open_search(tmp_path, trials=1)
        claimed = search.claim()
        assert claimed
        values.add(str(claimed.values))
        search.leave(claimed.trial)
        dead()
    assert len(values) == 1


@pytest.mark.parametrize("workers", [1, 3])
def test_known_points_come_first_and_once(workers: int, tmp_path: Path, dead: Callable[[], None]) -> None:
    points = [
        {"train.learning_rate": 4.19e-4, "head.units": 3, "train.optimizer.name": "adam"},
        {"train.learning_rate": 0.01},
    ]
    for number in reversed(range(workers)):
        claimed = open_search(tmp_path, number, workers=workers, start_from=points).claim()  # and dies
    assert claimed
    dead()
    for number in reversed(range(workers)):
        search = open_search(tmp_path, number, workers=workers, start_from=points)
        while (claimed := search.claim()) is not None:
            run_trial(search, claimed)
    finished = [t.user_attrs for t in finished_trials(search.study.trials, 8)]
    assert len(finished) == 8
    assert [attrs.get("start") for attrs in finished] == [0, 1, *[None] * 6]
    assert finished[0]["values"] == points[0]
    assert finished[1]["values"]["train.learning_rate"] == 0.01
    assert len(finished[1]["values"]) == 3


def test_a_known_point_that_fails_is_tried_once_more(tmp_path: Path) -> None:
    search = open_search(tmp_path, start_from=[{"train.learning_rate": 0.01}])
    first = search.claim()
    assert first
    search.fail(first.trial, "out of memory")
    again = search.claim()
    assert again
    assert again.values == first.values
    run_trial(search, again)
    trials = run(tmp_path, start_from=[{"train.learning_rate": 0.01}])
    assert [trial.user_attrs.get("start") for trial in finished_trials(trials, 8)] == [0, *[None] * 7]


@pytest.mark.parametrize("storage", ["journal", "sqlite"])
def test_of_workers_that_begin_in_the_same_moment_one_has_each_known_point(storage: str, tmp_path: Path) -> None:
    points = [{"train.learning_rate": 10.0**-k} for k in range(4)]
    tune = TUNE | {"workers": 4, "trials": 12, "start_from": points, "sampler": {"name": "random"}}
    open_storage(storage, tmp_path)
    claimed: list[Claimed] = []

    def worker(number: int) -> None:
        search = Search(open_storage(storage, tmp_path), "s", tune, number, EPOCHS)
        together.wait()
        while (mine := search.claim()) is not None:
            claimed.append(mine)
            search.complete(mine.trial, 1.0)

    together = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(worker, range(4)))
    trials = open_search_on(storage, tmp_path, tune).study.trials
    assert sorted(mine.trial.number for mine in claimed) == [t.number for t in trials if t.state is TrialState.COMPLETE]
    assert len(claimed) == 12
    assert sorted(t.user_attrs["start"] for t in finished_trials(trials, 12) if "start" in t.user_attrs) == [0, 1, 2, 3]
    assert all(t.params == t.user_attrs["values"] for t in finished_trials(trials, 12))


def open_search_on(storage: str, folder: Path, tune: dict[str, Any]) -> Search:
    return Search(open_storage(storage, folder), "s", tune, 0, EPOCHS)
