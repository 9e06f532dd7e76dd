from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from graft.arrays import Data
from graft.errors import UserError

SPACE = {
    "train.learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
    "head.units": {"low": 1, "high": 64, "log": False},
    "train.optimizer.name": {"choices": ["adam", "sgd"]},
}
OPTIONS: dict[str, Any] = {
    "space": SPACE,
    "trials": 6,
    "metric": "val_loss",
    "seed": 3,
    "sampler": {"name": "tpe", "n_startup_trials": 2},
    "pruner": {"name": "none"},
}
MEDIAN = {"pruner": {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 0}}


@pytest.fixture(scope="module")
def tuning(keras: Any) -> Any:
    """The module under test, which imports Keras."""
    import graft.tuning

    return graft.tuning


def bowl(values: dict[str, Any], report: Callable[[int, float], None]) -> float:
    """Best at a rate of 0.01 with sgd and 32 units; falls to its value over three epochs."""
    height = (np.log10(values["train.learning_rate"]) + 2) ** 2 + abs(values["head.units"] - 32) / 32
    height += values["train.optimizer.name"] == "adam"
    for epoch in (1, 2, 3):
        report(epoch, float(height + 1 / epoch))
    return float(height)


def table(tuning: Any, study: Any) -> str:
    text: str = tuning.trials_table(study).to_csv(index=False)
    return text


@pytest.fixture(scope="module")
def undisturbed(tuning: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tuning")
    return {
        name: tuning.search(folder / f"{name}.db", "s", bowl, **OPTIONS | options)
        for name, options in (("none", {}), ("median", MEDIAN))
    }


def test_there_are_as_many_finished_trials_as_asked_for(tuning: Any, undisturbed: Any) -> None:
    trials = tuning.finished_trials(undisturbed["none"])
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 6
    assert len(tuning.finished_trials(undisturbed["median"])) == 6


def test_values_lie_in_their_dimension(tuning: Any, undisturbed: Any) -> None:
    trials = tuning.finished_trials(undisturbed["none"])
    rates, units, names = ([trial.params[path] for trial in trials] for path in SPACE)
    assert len(set(rates)) == 6
    assert all(1e-4 <= rate <= 1 and isinstance(rate, float) for rate in rates)
    assert all(1 <= unit <= 64 and isinstance(unit, int) for unit in units)
    assert set(names) <= {"adam", "sgd"}


def test_a_logarithmic_dimension_is_searched_by_its_logarithm(tuning: Any, tmp_path: Path) -> None:
    space = {"x": {"low": 1e-8, "high": 1.0, "log": True}, "n": {"low": 1, "high": 10**6, "log": True}}
    options = OPTIONS | {"space": space, "trials": 16, "sampler": {"name": "random"}}
    study = tuning.search(tmp_path / "o.db", "s", lambda values, report: 0.0, **options)
    params = [trial.params for trial in tuning.finished_trials(study)]
    assert np.median([values["x"] for values in params]) < 0.01
    assert np.median([values["n"] for values in params]) < 10**5


def test_the_best_trial_is_the_lowest_loss(tuning: Any, undisturbed: Any) -> None:
    study = undisturbed["none"]
    trials = tuning.finished_trials(study)
    values = [trial.value for trial in trials]
    best = tuning.best_of(study)
    assert best["value"] == min(values)
    assert best["trial"] == values.index(min(values))
    assert best["params"] == trials[best["trial"]].params
    assert list(best["params"]) == sorted(SPACE)


def test_accuracy_is_maximised(tuning: Any, tmp_path: Path) -> None:
    study = tuning.search(tmp_path / "o.db", "s", bowl, **OPTIONS | {"metric": "val_accuracy", "trials": 3})
    assert tuning.best_of(study)["value"] == max(trial.value for trial in tuning.finished_trials(study))


def test_pruned_trials_stop_early_and_count(tuning: Any, undisturbed: Any) -> None:
    rows = tuning.trials_table(undisturbed["median"])
    assert rows["trial"].tolist() == list(range(6))
    pruned = rows[rows["state"] == "pruned"]
    assert 0 < len(pruned) < 6
    assert (pruned["epochs"] < 3).all()
    assert (rows[rows["state"] == "complete"]["epochs"] == 3).all()
    assert rows["value"].notna().all()
    assert tuning.best_of(undisturbed["median"])["trial"] in rows[rows["state"] == "complete"]["trial"].tolist()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("pruner", ["none", "median"])
@pytest.mark.parametrize("at", [0, 3])
def test_an_interrupted_search_ends_as_an_undisturbed_one(
    tuning: Any, undisturbed: Any, tmp_path: Path, error: type[BaseException], pruner: str, at: int
) -> None:
    started = 0

    def interrupted(values: dict[str, Any], report: Callable[[int, float], None]) -> float:
        nonlocal started
        started += 1
        if started == at + 1:
            report(1, 0.0)
            raise error
        return bowl(values, report)

    options = OPTIONS | (MEDIAN if pruner == "median" else {})
    with pytest.raises(error):
        tuning.search(tmp_path / "o.db", "s", interrupted, **options)
    continued = tuning.search(tmp_path / "o.db", "s", interrupted, **options)
    assert started == 6 + 1
    assert table(tuning, continued) == table(tuning, undisturbed[pruner])
    assert tuning.best_of(continued) == tuning.best_of(undisturbed[pruner])


def test_a_killed_search_ends_as_an_undisturbed_one(tuning: Any, undisturbed: Any, tmp_path: Path) -> None:
    """A process that is killed leaves its trial running."""
    tuning.search(tmp_path / "o.db", "s", bowl, **OPTIONS | {"trials": 2})
    killed = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path / 'o.db'}").ask()
    killed.suggest_float("train.learning_rate", 1e-4, 1.0, log=True)
    killed.report(0.0, 1)
    continued = tuning.search(tmp_path / "o.db", "s", bowl, **OPTIONS)
    assert table(tuning, continued) == table(tuning, undisturbed["none"])
    assert [trial.state.name for trial in continued.trials].count("RUNNING") == 0


def test_more_trials_go_on_from_those_that_are_there(tuning: Any, undisturbed: Any, tmp_path: Path) -> None:
    tuning.search(tmp_path / "o.db", "s", bowl, **OPTIONS | {"trials": 4})
    continued = tuning.search(tmp_path / "o.db", "s", bowl, **OPTIONS)
    assert table(tuning, continued) == table(tuning, undisturbed["none"])
    assert tuning.search(tmp_path / "o.db", "s", _never, **OPTIONS).best_value == continued.best_value


def _never(values: dict[str, Any], report: Callable[[int, float], None]) -> float:
    raise AssertionError("a finished search runs no trial")


def test_another_seed_searches_elsewhere(tuning: Any, undisturbed: Any, tmp_path: Path) -> None:
    other = tuning.search(tmp_path / "o.db", "s", bowl, **OPTIONS | {"seed": 4, "trials": 2})
    assert not set(tuning.trials_table(other)["value"]) & set(tuning.trials_table(undisturbed["none"])["value"])


def test_a_trial_that_diverges_counts_as_pruned(tuning: Any, tmp_path: Path) -> None:
    def diverging(values: dict[str, Any], report: Callable[[int, float], None]) -> float:
        if values["head.units"] > 32:
            raise tuning.DivergedError(1, 1, {"loss": float("nan")})
        return bowl(values, report)

    study = tuning.search(tmp_path / "o.db", "s", diverging, **OPTIONS)
    rows = tuning.trials_table(study).set_index("state")
    assert len(rows) == 6
    assert (rows.loc[["pruned"], "head.units"] > 32).all()
    assert (rows.loc[["pruned"], "epochs"] == 0).all()
    assert rows.loc[["pruned"], "value"].isna().all()
    assert (rows.loc[["complete"], "head.units"] <= 32).all()


def test_a_search_without_an_end_says_what_to_change(tuning: Any, tmp_path: Path) -> None:
    def diverging(values: dict[str, Any], report: Callable[[int, float], None]) -> float:
        raise tuning.DivergedError(1, 1, {"loss": float("nan")})

    with pytest.raises(UserError) as error:
        tuning.search(tmp_path / "o.db", "s", diverging, **OPTIONS | {"trials": 2})
    assert str(error.value) == (
        "no trial came to its end: every one was pruned or diverged; widen tune.space or lower its rates"
    )


def test_another_error_of_the_user_ends_the_search(tuning: Any, tmp_path: Path) -> None:
    def impossible(values: dict[str, Any], report: Callable[[int, float], None]) -> float:
        raise UserError("dcnn cannot be built for 8 px images")

    with pytest.raises(UserError, match="cannot be built"):
        tuning.search(tmp_path / "o.db", "s", impossible, **OPTIONS)


# -- of a model ----------------------------------------------------------------------------------------------------------

TUNE = {
    "trials": 2,
    "epochs": 1,
    "metric": "val_accuracy",
    "seed": 0,
    "sampler": {"name": "random"},
    "pruner": {"name": "none"},
    "space": {
        "train.learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
        "train.optimizer.name": {"choices": ["adam", "sgd"]},
    },
}
SPEC = {
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


@pytest.fixture
def calls(tuning: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Trains nothing, and notes what would have been trained."""
    from graft.runs import Trained

    seen: list[dict[str, Any]] = []

    def train_run(spec: Any, data: Any, seed: int, *, epochs: Any, on_epoch: Callable[..., None]) -> Any:
        seen.append({"spec": spec, "seed": seed, "epochs": epochs})
        history = [{"val_loss": loss, "val_accuracy": 1 - loss} for loss in (0.5, 0.2, 0.4)]
        for number, row in enumerate(history, 1):
            on_epoch(number, row)
        return Trained(None, None, history, 1, 1.0)

    monkeypatch.setattr(tuning, "train_run", train_run)
    return seen


def test_a_trial_is_the_model_with_its_fields_set(tuning: Any, calls: list[Any], tmp_path: Path) -> None:
    study = tuning.tune_run(tmp_path / "o.db", SPEC, None, TUNE, [])
    for call, trial in zip(calls, study.trials, strict=True):
        train = SPEC["train"] | {"learning_rate": trial.params["train.learning_rate"]}
        assert call["spec"] == SPEC | {"train": train | {"optimizer": {"name": trial.params["train.optimizer.name"]}}}
        assert (call["seed"], call["epochs"]) == (0, 1)
    assert SPEC["train"]["learning_rate"] == 0.001


@pytest.mark.parametrize(
    ("metric", "stopping", "value"),
    [("val_loss", None, 0.4), ("val_accuracy", None, 0.6), ("val_loss", {}, 0.2), ("val_accuracy", {}, 0.8)],
)
def test_a_trial_is_worth_the_weights_that_it_keeps(
    tuning: Any, calls: list[Any], tmp_path: Path, metric: str, stopping: Any, value: float
) -> None:
    train = SPEC["train"] if stopping is None else SPEC["train"] | {"early_stopping": {"metric": metric, "patience": 2}}
    study = tuning.tune_run(tmp_path / "o.db", SPEC | {"train": train}, None, TUNE | {"metric": metric}, [])
    assert [trial.value for trial in study.trials] == pytest.approx([value] * 2)
    assert study.direction.name == ("MINIMIZE" if metric == "val_loss" else "MAXIMIZE")


@pytest.mark.parametrize(
    ("spec", "tune", "depends"),
    [
        (SPEC | {"image_size": 32}, TUNE, ["code"]),
        (SPEC, TUNE | {"seed": 1}, ["code"]),
        (SPEC, TUNE | {"epochs": 2}, ["code"]),
        (SPEC, TUNE | {"space": {"train.learning_rate": {"low": 1e-3, "high": 1.0, "log": True}}}, ["code"]),
        (SPEC, TUNE, ["other code"]),
    ],
    ids=["model", "seed", "epochs", "space", "code"],
)
def test_another_search_is_a_study_of_its_own(
    tuning: Any, calls: list[Any], tmp_path: Path, spec: Any, tune: Any, depends: Any
) -> None:
    one = tuning.tune_run(tmp_path / "o.db", SPEC, None, TUNE | {"trials": 1}, ["code"])
    two = tuning.tune_run(tmp_path / "o.db", spec, None, tune | {"trials": 1}, depends)
    assert one.study_name != two.study_name
    assert len(calls) == 2


def test_more_trials_are_the_same_search(tuning: Any, calls: list[Any], tmp_path: Path) -> None:
    names = {tuning.tune_run(tmp_path / "o.db", SPEC, None, TUNE | {"trials": k}, []).study_name for k in (1, 2)}
    assert len(names) == 1
    assert len(calls) == 2


def test_a_network_is_tuned_on_the_validation_split(
    tuning: Any, digits: Callable[[int, int], Data], tmp_path: Path
) -> None:
    data = digits(18, 60)
    assert "test" in data.rows
    without_test = data._replace(rows={name: rows for name, rows in data.rows.items() if name != "test"})
    study = tuning.tune_run(tmp_path / "o.db", SPEC, without_test, TUNE, [])
    rows = tuning.trials_table(study)
    assert rows["state"].tolist() == ["complete"] * 2
    assert rows["epochs"].tolist() == [1, 1]
    images = len(data.rows["validation"])
    assert all(value * images == pytest.approx(round(value * images)) for value in rows["value"])
