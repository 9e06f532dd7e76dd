from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from graft.arrays import Data
from graft.predictions import load_predictions
from graft.tuning.folders import trial_checkpoints, trial_folder

TUNE: dict[str, Any] = {
    "trials": 2,
    "epochs": 2,
    "metric": "val_accuracy",
    "seed": 5,
    "sampler": {"name": "random"},
    "pruner": {"name": "none"},
    "space": {
        "train.learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
        "train.optimizer.name": {"choices": ["adam", "sgd"]},
    },
}
SPEC: dict[str, Any] = {
    "architecture": "simcnn",
    "image_size": 18,
    "options": {},
    "train": {
        "epochs": 5,
        "batch_size": 32,
        "optimizer": {"name": "adam"},
        "learning_rate": 0.001,
        "schedule": {"name": "constant"},
    },
}
VALUES = {"train.learning_rate": 0.002, "train.optimizer.name": "sgd"}


@pytest.fixture(scope="module")
def trials(keras: Any) -> Any:
    """The module under test, which imports Keras when a trial runs."""
    import graft.tuning.trials

    return graft.tuning.trials


@pytest.fixture
def calls(trials: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Trains nothing, and notes what would have been trained."""
    import graft.runs

    seen: list[dict[str, Any]] = []

    def train_run(spec: Any, data: Any, seed: int, *, epochs: Any, on_epoch: Any, checkpoints: Any) -> Any:
        seen.append({"spec": spec, "seed": seed, "epochs": epochs})
        history = [{"val_loss": loss, "val_accuracy": 1 - loss} for loss in (0.5, 0.2, 0.4)]
        for number, row in enumerate(history, 1):
            on_epoch(number, row)
        return graft.runs.Trained(None, None, history, 1, 1.0)

    monkeypatch.setattr(graft.runs, "train_run", train_run)
    return seen


@pytest.mark.parametrize("seed", [None, 9])
def test_a_trial_is_trained_as_the_search_has_it(trials: Any, calls: list[Any], seed: int | None) -> None:
    reported: list[tuple[int, float]] = []

    def report(epoch: int, value: float) -> None:
        reported.append((epoch, value))
        if epoch == 2:  # the last, after which pruning saves nothing
            raise optuna.TrialPruned

    trials.train_trial(SPEC, None, TUNE, seed=seed, report=report)
    assert calls == [{"spec": SPEC, "seed": 5 if seed is None else 9, "epochs": 2}]
    assert reported == [(1, 0.5), (2, 0.8), (3, 0.6)]


@pytest.mark.parametrize(
    ("metric", "stopping", "value"),
    [("val_loss", False, 0.4), ("val_accuracy", False, 0.6), ("val_loss", True, 0.2), ("val_accuracy", True, 0.8)],
)
def test_a_trial_is_worth_the_weights_that_it_keeps(
    trials: Any, calls: list[Any], metric: str, stopping: bool, value: float
) -> None:
    stops = {"early_stopping": {"metric": metric, "patience": 2}} if stopping else {}
    spec = SPEC | {"train": SPEC["train"] | stops}
    assert trials.train_trial(spec, None, TUNE | {"metric": metric})[1] == pytest.approx(value)


@pytest.mark.parametrize(
    ("spec", "tune", "depends"),
    [
        (SPEC | {"image_size": 32}, TUNE, ["code"]),
        (SPEC, TUNE | {"seed": 1}, ["code"]),
        (SPEC, TUNE | {"epochs": 3}, ["code"]),
        (SPEC, TUNE | {"space": {"train.learning_rate": {"low": 1e-3, "high": 1.0, "log": True}}}, ["code"]),
        (SPEC, TUNE | {"start_from": [VALUES]}, ["code"]),
        (SPEC, TUNE, ["other code"]),
    ],
    ids=["model", "seed", "epochs", "space", "known points", "code"],
)
def test_another_search_has_another_name(trials: Any, spec: Any, tune: Any, depends: Any) -> None:
    assert trials.search_name(SPEC, TUNE, ["code"]) != trials.search_name(spec, tune, depends)


@pytest.mark.parametrize(
    "more",
    [{"trials": 9}, {"workers": 4}, {"timeout": 5.0}, {"storage": "journal"}, {"top_k": 2, "reruns": 3}],
    ids=str,
)
def test_what_changes_no_trial_changes_no_name(trials: Any, more: dict[str, Any]) -> None:
    assert trials.search_name(SPEC, TUNE | more, []) == trials.search_name(SPEC, TUNE, [])


@pytest.fixture(scope="module")
def ran(trials: Any, digits: Callable[[int, int], Data], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A trial of a small network, and what it says of itself."""
    state, reported = tmp_path_factory.mktemp("state"), []
    data = digits(18, 60)
    run = trials.objective(SPEC, data, TUNE, state, "search", lambda: reported.append("started"))
    value = run(VALUES, 7, lambda epoch, value: reported.append((epoch, value)))
    return state, data, value, reported


@pytest.mark.parametrize(
    ("train", "tune", "epochs"),
    [
        ({"epochs": 5}, {}, 5),
        ({"epochs": 5}, {"epochs": 2}, 2),
        ({"epochs": 5, "head_first": {"epochs": 3}}, {"epochs": 2}, 5),
        ({"epochs": 5}, {"space": {"train.epochs": {"low": 2, "high": 9}}}, 9),
        ({"epochs": 5}, {"space": {"train.epochs": {"choices": [2, 7, 3]}}}, 7),
    ],
)
def test_a_trial_has_at_most_so_many_epochs(trials: Any, train: Any, tune: Any, epochs: int) -> None:
    assert trials.trial_epochs(train, {"space": {}} | tune) == epochs


def test_a_trial_reports_each_epoch_and_ends_with_the_last(ran: Any) -> None:
    _, data, value, (started, *reported) = ran
    assert started == "started"
    assert [epoch for epoch, _ in reported] == [1, 2]
    assert value == reported[-1][1]
    images = len(data.rows["validation"])
    assert value * images == pytest.approx(round(value * images))


def test_a_trials_predictions_are_kept_and_agree_with_its_value(ran: Any) -> None:
    state, data, value, _ = ran
    predictions = load_predictions(trial_folder(state, "search", 7) / "predictions.npz")
    validation = predictions.splits["validation"]
    assert (validation.log_prob.argmax(axis=1) == validation.label).mean() == pytest.approx(value)
    assert list(predictions.splits["test"].sample_id) == list(data.sample_id[data.rows["test"]])


def test_a_run_that_goes_on_from_its_trial_ends_with_the_bits_of_one_that_does_not(
    ran: Any, trials: Any, tmp_path: Path
) -> None:
    from graft.checkpoints import Checkpoints
    from graft.runs import checkpoint_key, train_run
    from graft.spec import chosen_spec

    state, data, _, _ = ran
    spec = chosen_spec(SPEC, TUNE["space"], VALUES)
    epochs: list[int] = []
    checkpoints = Checkpoints(tmp_path / "state", checkpoint_key(spec, "a run"))
    checkpoints.begin_with(trial_checkpoints(state, "search", 7, spec))
    taken = checkpoints.load()
    assert taken and len(taken.place["history"]) == 2
    continued = train_run(spec, data, 5, checkpoints=checkpoints, on_epoch=lambda epoch, _: epochs.append(epoch))
    anew = train_run(spec, data, 5)
    assert epochs == [1, 2, 3, 4, 5]  # also those that whoever listened may not have heard of
    assert continued.history == anew.history
    for one, other in zip(continued.model.get_weights(), anew.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # Another trial's state is none of its own.
    other = chosen_spec(SPEC, TUNE["space"], VALUES | {"train.learning_rate": 0.003})
    assert trial_checkpoints(state, "search", 7, other).load() is None


def test_a_trial_that_diverges_is_pruned(trials: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import graft.runs
    from graft.training import DivergedError

    def diverges(*_: Any, **__: Any) -> Any:
        raise DivergedError(1, 1, {"loss": float("nan")})

    monkeypatch.setattr(graft.runs, "train_run", diverges)
    run = trials.objective(SPEC, None, TUNE, tmp_path, "search")
    with pytest.raises(optuna.TrialPruned, match="diverged"):
        run(VALUES, 0, lambda epoch, value: None)


def test_only_the_best_keep_their_checkpoints_and_the_pruned_nothing(trials: Any, tmp_path: Path) -> None:
    ranked = [4, 2, 1]
    for number in range(5):
        (trial_folder(tmp_path, "s", number) / "state").mkdir(parents=True)
    after = trials.tidy(tmp_path, "s", lambda: ranked, keep=1)
    after(0, "pruned")
    after(4, "complete")
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("s/*/*")}
    assert left == {"s/trial3/state", "s/trial4/state"}  # trial 3 is still under way
    trials.tidy(tmp_path, "s", lambda: ranked, keep=0)(3, "complete")
    assert not (trial_folder(tmp_path, "s", 3) / "state").exists()
