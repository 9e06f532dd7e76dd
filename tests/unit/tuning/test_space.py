import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FixedTrial

from graft.spec import holds, same
from graft.tuning.space import chosen_spec, decoded, distributions, encoded, suggest

SPACE: dict[str, Any] = {
    "freeze": {"choices": ["none", ["stage5", "stage6"], {"before": "stage6"}, None]},
    "head.dense[0]": {"low": 8, "high": 64, "log": False, "step": 8},
    "head.dropout": {"low": 0.0, "high": 0.9, "log": False, "step": 0.3},
    "train.learning_rate": {"low": 1e-4, "high": 1, "log": True},
    "train.optimizer.momentum": {"choices": [0.3, 0.6], "when": {"train.optimizer.name": ["sgd"]}},
    "train.optimizer.name": {"choices": ["adam", "sgd"]},
    "train.schedule.peak": {"low": 1, "high": 4, "log": True, "when": {"train.optimizer.momentum": [0.3]}},
}
VALUES = {
    "freeze": {"before": "stage6"},
    "head.dense[0]": 16,
    "head.dropout": 0.6,
    "train.learning_rate": 0.5,
    "train.optimizer.momentum": 0.3,
    "train.optimizer.name": "sgd",
    "train.schedule.peak": 2,
}
STORED = VALUES | {"freeze": '{"before":"stage6"}'}


def test_each_dimension_is_the_distribution_that_optuna_has_for_it() -> None:
    assert distributions(SPACE) == {
        "freeze": CategoricalDistribution(["none", '["stage5","stage6"]', '{"before":"stage6"}', None]),
        "head.dense[0]": IntDistribution(8, 64, step=8),
        "head.dropout": FloatDistribution(0.0, 0.9, step=0.3),
        "train.learning_rate": FloatDistribution(1e-4, 1.0, log=True),
        "train.optimizer.momentum": CategoricalDistribution([0.3, 0.6]),
        "train.optimizer.name": CategoricalDistribution(["adam", "sgd"]),
        "train.schedule.peak": IntDistribution(1, 4, log=True),
    }


def test_values_are_suggested_by_path() -> None:
    trial = FixedTrial(STORED)
    assert suggest(trial, SPACE) == VALUES
    assert trial.distributions == distributions(SPACE)


@pytest.mark.parametrize(
    ("stored", "left_out"),
    [
        ({"train.optimizer.name": "adam"}, ["train.optimizer.momentum", "train.schedule.peak"]),
        ({"train.optimizer.momentum": 0.6}, ["train.schedule.peak"]),
    ],
    ids=["condition of a condition", "condition"],
)
def test_a_parameter_whose_condition_does_not_hold_is_not_suggested(
    stored: dict[str, Any], left_out: list[str]
) -> None:
    trial = FixedTrial(STORED | stored)
    assert SPACE.keys() - suggest(trial, SPACE).keys() == set(left_out)
    assert SPACE.keys() - trial.params.keys() == set(left_out)


def test_lists_and_mappings_are_stored_as_text_and_numbers_by_their_kind() -> None:
    assert encoded(SPACE, VALUES) == STORED
    assert decoded(SPACE, STORED) == VALUES
    assert encoded(SPACE, {"freeze": None, "train.learning_rate": 1}) == {"freeze": None, "train.learning_rate": 1.0}
    assert isinstance(encoded(SPACE, {"train.learning_rate": 1})["train.learning_rate"], float)
    assert isinstance(encoded(SPACE, {"head.dense[0]": 8})["head.dense[0]"], int)


def test_what_no_choice_is_stored_as_is_refused() -> None:
    with pytest.raises(ValueError, match="not in list"):
        decoded(SPACE, {"freeze": "all"})


def test_a_point_that_is_enqueued_is_the_trial_that_comes() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(encoded(SPACE, VALUES))
    assert suggest(study.ask(), SPACE) == VALUES


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
@pytest.mark.parametrize("frozen", SPACE["freeze"]["choices"], ids=str)
def test_a_storage_gives_back_the_values_that_it_was_given(tmp_path: Path, kind: str, frozen: Any) -> None:
    def open_study() -> optuna.Study:
        journal = JournalStorage(JournalFileBackend(str(tmp_path / "journal"))) if kind == "journal" else None
        return optuna.create_study(
            study_name="s", storage=journal or f"sqlite:///{tmp_path / 'db'}", load_if_exists=True
        )

    values = VALUES | {"freeze": frozen}
    open_study().enqueue_trial(encoded(SPACE, values))
    suggest(open_study().ask(), SPACE)
    assert decoded(SPACE, open_study().trials[0].params) == values


def test_a_trial_is_the_model_with_what_was_suggested() -> None:
    spec = {"freeze": "none", "head": {"dense": [1, 2]}, "train": {"optimizer": {"name": "sgd", "momentum": 0.5}}}
    values = suggest(FixedTrial(STORED | {"train.optimizer.name": "adam", "freeze": None}), SPACE)
    assert chosen_spec(spec, SPACE, values) == {
        "head": {"dense": [16, 2], "dropout": 0.6},
        "train": {"optimizer": {"name": "adam"}, "learning_rate": 0.5},
    }


# -- any space -----------------------------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=3)
CHOICES = st.lists(
    SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(max_size=2), SCALARS, max_size=2),
    min_size=1,
    max_size=4,
)


def one_by_one(choices: list[Any]) -> list[Any]:
    """Those that Optuna tells apart, as a study's choices are."""
    kept: list[Any] = []
    for choice in choices:
        stored = list(distributions({"x": {"choices": [*kept, choice]}})["x"].choices)  # type: ignore[attr-defined]
        if stored.index(stored[-1]) == len(stored) - 1:
            kept.append(choice)
    return kept


@st.composite
def dimensions(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["choices", "int", "float"]))
    if kind == "choices":
        return {"choices": one_by_one(draw(CHOICES))}
    low, steps = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    step = draw(st.sampled_from([None, 1, 3] if kind == "int" else [None, 0.5, 0.25]))
    plain: dict[str, Any] = {"low": low, "high": low + steps * (step or 1), "log": step is None and draw(st.booleans())}
    if kind == "float":
        plain |= {"low": float(low), "high": float(plain["high"])}
    return plain | ({"step": step} if step is not None else {})


@st.composite
def spaces(draw: st.DrawFn) -> dict[str, Any]:
    """Spaces in which parameters depend on choices of earlier ones, in any order."""
    space: dict[str, Any] = {}
    for name in "abcde":
        dimension = draw(dimensions())
        parents = [path for path in space if "choices" in space[path]]
        if parents and draw(st.booleans()):
            parent = draw(st.sampled_from(parents))
            wanted = draw(st.lists(st.sampled_from(space[parent]["choices"]), min_size=1, max_size=3))
            dimension |= {"when": {parent: wanted}}
        space[name] = dimension
    return {path: space[path] for path in draw(st.permutations(list(space)))}


@given(space=spaces(), seed=st.integers(0, 99))
def test_what_is_suggested_is_what_is_stored_and_back(space: dict[str, Any], seed: int) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trial = study.ask()
    values = suggest(trial, space)
    stored = json.loads(json.dumps(trial.params))
    assert values.keys() == {path for path in space if holds(space[path], values)}
    assert encoded(space, values) == stored
    back = decoded(space, stored)
    assert back.keys() == values.keys()
    assert all(same(back[path], values[path]) for path in values)
    assert suggest(FixedTrial(stored), space) == values
    for path, value in values.items():
        if "choices" in space[path]:
            assert any(same(value, choice) for choice in space[path]["choices"])
        else:
            assert space[path]["low"] <= value <= space[path]["high"]
