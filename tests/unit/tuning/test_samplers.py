import itertools
import math
import warnings
from collections import Counter
from typing import Any

import optuna
import pytest
from optuna.exceptions import ExperimentalWarning
from optuna.study import StudyDirection
from optuna.trial import TrialState

import graft.tuning.samplers
from graft.errors import UserError
from graft.tuning.samplers import DIRECTIONS, PRUNERS, SAMPLERS, build_pruner, build_sampler
from graft.tuning.space import encoded, suggest

RANGES: dict[str, Any] = {"x": {"low": -5.0, "high": 5.0, "log": False}, "y": {"low": -5.0, "high": 5.0, "log": False}}
CONDITIONAL: dict[str, Any] = {
    "kind": {"choices": ["flat", "steep"]},
    "slope": {"low": 0.1, "high": 9.0, "log": True, "when": {"kind": ["steep"]}},
}
FINITE: dict[str, Any] = {
    "dense": {"choices": [[64], [64, 32], None]},
    "rate": {"low": 0.1, "high": 0.3, "log": False, "step": 0.1},
    "units": {"low": 2, "high": 8, "log": False, "step": 3},
    "width": {"low": 1, "high": 2, "log": True},
}
POINTS = list(itertools.product([[64], [64, 32], None], [0.1, 0.2, 0.3], [2, 5, 8], [1, 2]))


def run(space: dict[str, Any], sampler: dict[str, Any], trials: int, value: Any, **options: Any) -> optuna.Study:
    """A search as a worker does it: trials are asked for one by one, each with a sampler of its own."""
    study = optuna.create_study(pruner=optuna.pruners.NopPruner())
    for place in range(trials):
        study.sampler = build_sampler(sampler, space, seed=place, **{"workers": 1} | options)
        trial = study.ask()
        study.tell(trial, value(suggest(trial, space)))
    return study


def test_losses_are_minimised_and_accuracies_maximised() -> None:
    assert DIRECTIONS == {"val_loss": StudyDirection.MINIMIZE, "val_accuracy": StudyDirection.MAXIMIZE}


# -- samplers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampler", "space", "workers", "options"),
    [
        ({"name": "tpe"}, RANGES, 1, {"multivariate": True, "group": False, "constant_liar": False}),
        ({"name": "tpe"}, RANGES, 2, {"multivariate": True, "group": False, "constant_liar": True}),
        ({"name": "tpe"}, CONDITIONAL, 1, {"multivariate": True, "group": True, "constant_liar": False}),
        (
            {"name": "tpe", "multivariate": False, "n_ei_candidates": 9},
            CONDITIONAL,
            1,
            {"multivariate": False, "group": False, "constant_liar": False, "n_ei_candidates": 9},
        ),
        (
            {"name": "tpe", "multivariate": True, "group": False, "constant_liar": False, "n_startup_trials": 3},
            CONDITIONAL,
            2,
            {"multivariate": True, "group": False, "constant_liar": False, "n_startup_trials": 3},
        ),
        ({"name": "random"}, RANGES, 2, {}),
    ],
)
def test_a_sampler_has_the_options_that_are_said_and_those_that_the_search_needs(
    monkeypatch: pytest.MonkeyPatch,
    sampler: dict[str, Any],
    space: dict[str, Any],
    workers: int,
    options: dict[str, Any],
) -> None:
    monkeypatch.setitem(SAMPLERS, sampler["name"], dict)  # type: ignore[arg-type]
    assert build_sampler(sampler, space, seed=7, workers=workers) == {"seed": 7} | options


ALL_OPTIONS: dict[str, dict[str, Any]] = {
    "tpe": {"n_startup_trials": 0, "n_ei_candidates": 2, "multivariate": True, "group": True, "constant_liar": True},
    "random": {},
    "cmaes": {"n_startup_trials": 0, "popsize": 3, "consider_pruned_trials": True, "use_separable_cma": True},
    "gp": {"n_startup_trials": 0, "deterministic_objective": True},
}


@pytest.mark.parametrize("name", ALL_OPTIONS)
def test_every_option_is_one_of_optuna_and_none_is_announced_as_experimental(name: str) -> None:
    for package in graft.tuning.samplers.NEEDED.get(name, ()):
        pytest.importorskip(package)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study = run(RANGES, {"name": name} | ALL_OPTIONS[name], 4, lambda values: values["x"] ** 2 + values["y"])
    assert all(-5 <= value <= 5 for trial in study.trials for value in trial.params.values())


@pytest.mark.parametrize(
    ("name", "trials"),
    [("cmaes", 60), ("gp", 20), ("tpe", 60)],
)
def test_a_search_comes_closer_than_chance(name: str, trials: int) -> None:
    """To the least of a bowl, which the best of n points at random misses by 100 / (pi n) on average."""
    for package in graft.tuning.samplers.NEEDED.get(name, ()):
        pytest.importorskip(package)
    study = run(RANGES, {"name": name}, trials, lambda values: (values["x"] - 1) ** 2 + (values["y"] + 2) ** 2)
    assert study.best_value < 0.1


def test_kinds_of_cma_es_are_optunas() -> None:
    pytest.importorskip("cmaes")
    for kind in ("use_separable_cma", "with_margin", "lr_adapt"):
        study = run(RANGES, {"name": "cmaes", kind: True}, 9, lambda values: values["x"] ** 2 + values["y"] ** 2)
        assert len(study.trials) == 9


def test_a_parameter_that_exists_at_times_is_searched_where_it_exists() -> None:
    study = run(CONDITIONAL, {"name": "tpe"}, 40, lambda values: abs(math.log(values.get("slope", 9.0))))
    assert 0.8 < study.best_params["slope"] < 1.25
    assert {len(trial.params) for trial in study.trials} == {1, 2}


@pytest.mark.parametrize("name", ["tpe", "random", "cmaes", "grid"])
def test_the_same_seeds_give_the_same_trials(name: str) -> None:
    for package in graft.tuning.samplers.NEEDED.get(name, ()):
        pytest.importorskip(package)
    space = FINITE if name == "grid" else RANGES
    one, two = ([t.params for t in run(space, {"name": name}, 15, lambda values: 0.0).trials] for _ in range(2))
    assert one == two


@pytest.mark.parametrize(
    ("name", "missing", "text"),
    [
        ("cmaes", "cmaes", "sampler: cmaes needs the package cmaes; install it: pip install -e '.[cmaes]'"),
        ("gp", "torch", "sampler: gp needs the package torch; install it: pip install -e '.[gp]'"),
        ("gp", "scipy", "sampler: gp needs the package scipy; install it: pip install -e '.[gp]'"),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, name: str, missing: str, text: str
) -> None:
    monkeypatch.setattr(graft.tuning.samplers, "find_spec", lambda package: None if package == missing else package)
    with pytest.raises(UserError) as error:
        build_sampler({"name": name}, RANGES, seed=0, workers=1)
    assert str(error.value) == text


# -- grids ---------------------------------------------------------------------------------------------------------------

GRID = {"name": "grid"}


def seen(study: optuna.Study, *states: TrialState) -> list[str]:
    """The points of finished trials."""
    trials = study.get_trials(states=states or (TrialState.COMPLETE, TrialState.PRUNED))
    return [repr(tuple(trial.params.values())) for trial in trials]


WHOLE_GRID = Counter(repr(tuple(encoded(FINITE, dict(zip(FINITE, point, strict=True))).values())) for point in POINTS)


def test_every_point_of_a_grid_is_tried_once_in_an_order_that_the_seed_decides() -> None:
    study = run(FINITE, GRID, len(POINTS), lambda values: 0.0)
    assert Counter(seen(study)) == WHOLE_GRID
    assert len(WHOLE_GRID) == 54
    other = optuna.create_study(sampler=build_sampler(GRID, FINITE, seed=1, workers=1))
    suggest(other.ask(), FINITE)
    assert other.trials[0].params != study.trials[0].params


def test_a_point_whose_trial_failed_is_tried_again_and_one_that_was_known_is_not() -> None:
    study = optuna.create_study()
    known = {"dense": [64, 32], "rate": 0.2, "units": 5, "width": 2}
    study.enqueue_trial(encoded(FINITE, known))
    place = 0
    while len(seen(study)) < len(POINTS):
        study.sampler = build_sampler(GRID, FINITE, seed=place, workers=1)
        trial = study.ask()
        assert suggest(trial, FINITE) == known or place > 0
        state = (TrialState.FAIL, TrialState.PRUNED, TrialState.COMPLETE)[place % 3] if place else TrialState.COMPLETE
        study.tell(trial, 0.0 if state == TrialState.COMPLETE else None, state)
        place += 1
    assert Counter(seen(study)) == WHOLE_GRID
    assert seen(study, TrialState.FAIL)


def test_a_point_that_another_worker_is_at_is_not_tried() -> None:
    study = optuna.create_study(sampler=build_sampler(GRID, FINITE, seed=0, workers=2))
    trials = [study.ask() for _ in range(len(POINTS)) if suggest(study.ask(), FINITE)]
    assert len({repr(trial.params) for trial in study.trials if trial.params}) == len(POINTS) == len(trials)


def test_a_grid_that_is_used_up_gives_points_again() -> None:
    study = run(FINITE, GRID, len(POINTS) + 2, lambda values: 0.0)
    assert Counter(seen(study)).keys() == WHOLE_GRID.keys()


def test_a_grid_of_more_points_than_memory_holds_is_searched() -> None:
    space = {name: {"low": 1, "high": 10**9, "log": False} for name in "abc"}
    study = run(space, GRID, 5, lambda values: float(values["a"]))
    assert len({trial.params["a"] for trial in study.trials}) == 5


# -- pruners -------------------------------------------------------------------------------------------------------------


def ended(pruner: dict[str, Any], curves: list[list[float]], epochs: int = 9) -> list[int | None]:
    """The epoch, from 1, at which each of some trials in turn was ended, if it was."""
    study = optuna.create_study(study_name="s", pruner=build_pruner(pruner, epochs=epochs))  # which decides brackets
    ends: list[int | None] = []
    for curve in curves:
        trial, end = study.ask(), None
        for epoch, value in enumerate(curve, 1):
            trial.report(value, epoch)
            if trial.should_prune():
                end = epoch
                break
        study.tell(trial, None if end else curve[-1], state=TrialState.PRUNED if end else TrialState.COMPLETE)
        ends.append(end)
    return ends


GOOD, FAIR, BAD = [1.0, 0.5, 0.2, 0.1], [2.0, 1.0, 0.4, 0.2], [3.0, 3.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("pruner", "ends"),
    [
        ({"name": "none"}, [None, None, None, None]),
        ({"name": "median", "n_startup_trials": 1}, [None, 1, 1, 1]),
        ({"name": "median", "n_startup_trials": 3}, [None, None, None, 1]),
        ({"name": "median", "n_startup_trials": 1, "n_warmup_steps": 2}, [None, 2, 2, 2]),
        ({"name": "median", "n_startup_trials": 1, "n_warmup_steps": 2, "interval_steps": 2}, [None, 2, 2, 2]),
        ({"name": "percentile", "percentile": 50.0, "n_startup_trials": 3}, [None, None, None, 1]),
        ({"name": "percentile", "percentile": 100.0, "n_startup_trials": 1}, [None, 1, 1, 1]),
        ({"name": "threshold", "upper": 1.5}, [None, 1, 1, 1]),
        ({"name": "threshold", "upper": 1.5, "n_warmup_steps": 2}, [None, None, 2, 2]),
        ({"name": "threshold", "lower": 0.15}, [4, None, None, None]),
        ({"name": "asha", "min_resource": 1, "reduction_factor": 2}, [None, 1, 1, 1]),
        ({"name": "asha", "min_resource": 2, "reduction_factor": 2}, [None, 2, 2, 2]),
        ({"name": "asha", "min_resource": 1, "reduction_factor": 2, "min_early_stopping_rate": 1}, [None, 2, 2, 2]),
        ({"name": "hyperband", "min_resource": 20}, [None, None, None, None]),
    ],
    ids=str,
)
def test_a_trial_is_ended_at_the_epoch_that_its_pruner_says(pruner: dict[str, Any], ends: list[int | None]) -> None:
    assert ended(pruner, [GOOD, FAIR, BAD, BAD]) == ends


def test_hyperband_shares_out_the_epochs_of_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRUNERS, "hyperband", dict)  # type: ignore[arg-type]
    built = {
        epochs: build_pruner({"name": "hyperband", "reduction_factor": 2} | more, epochs=epochs)
        for epochs, more in ((9, {}), (8, {"max_resource": 4}), (2, {"min_resource": 3}))
    }
    assert built == {
        9: {"max_resource": 9, "reduction_factor": 2},
        8: {"max_resource": 4, "reduction_factor": 2},
        2: {"max_resource": 3, "min_resource": 3, "reduction_factor": 2},
    }


def test_hyperband_ends_bad_trials_early() -> None:
    ends = ended({"name": "hyperband", "reduction_factor": 2}, [GOOD, *[BAD] * 12], epochs=4)
    assert ends[0] is None
    assert set(ends[1:]) >= {1}


def test_every_option_of_a_pruner_is_one_of_optuna() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ExperimentalWarning)
        for described in (
            {
                "name": "asha",
                "min_resource": 1,
                "reduction_factor": 2,
                "min_early_stopping_rate": 0,
                "bootstrap_count": 1,
            },
            {"name": "hyperband", "min_resource": 1, "max_resource": 9, "reduction_factor": 3, "bootstrap_count": 1},
            {"name": "median", "n_startup_trials": 0, "n_warmup_steps": 0, "interval_steps": 1, "n_min_trials": 1},
            {
                "name": "percentile",
                "percentile": 25.0,
                "n_startup_trials": 0,
                "n_warmup_steps": 0,
                "interval_steps": 1,
                "n_min_trials": 1,
            },
            {"name": "threshold", "lower": 0.0, "upper": 1.0, "n_warmup_steps": 0, "interval_steps": 1},
        ):
            assert isinstance(build_pruner(described, epochs=9), optuna.pruners.BasePruner)
