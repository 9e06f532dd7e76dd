"""What holds of every method, and what is done around them."""

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from graft.config import Study
from graft.ensembles import combine, fit
from graft.ensembles.temperature import LEAST, MOST, best_temperature, scaled
from graft.errors import UserError
from graft.files import read_csv, read_json, record_sums
from graft.metrics import log_loss
from graft.predictions import Predictions, SplitPredictions, load_predictions, save_predictions
from graft.registry import parts

PLAIN: dict[str, dict[str, Any]] = {
    "arithmetic": {"name": "soft_vote"},
    "geometric": {"name": "soft_vote", "mean": "geometric"},
    "weighted": {"name": "weighted_vote"},
    "greedy": {"name": "greedy", "bags": 3, "rounds": 5},
    "greedy brier": {"name": "greedy", "bags": 3, "rounds": 5, "metric": "brier"},
    "greedy top1": {"name": "greedy", "bags": 3, "rounds": 5, "metric": "top1"},
}
METHODS = {
    **PLAIN,
    "hard": {"name": "hard_vote"},
    "logistic": {"name": "stacking", "folds": 2},
    "boosting": {"name": "stacking", "model": "boosting", "folds": 2},
}
SHAPES = st.tuples(st.integers(0, 10**6), st.integers(1, 5), st.integers(4, 12), st.integers(2, 6))
SCRIPT = Path(__file__).resolve().parents[3] / "scripts/combine_ensemble.py"


def fitted(method: dict[str, Any], log_prob: np.ndarray, label: np.ndarray) -> Any:
    options = {key: value for key, value in method.items() if key != "name"}
    return parts("graft.ensembles")[method["name"]].function(log_prob, label, **options)


def exp(log_prob: np.ndarray) -> np.ndarray:
    return np.exp(log_prob.astype(np.float64))


def member(validation: list[list[float]], test: list[list[float]], order: list[int]) -> Predictions:
    splits = {
        name: SplitPredictions(
            np.array([f"{name}{k}" for k in order]),
            np.array([k % 2 for k in order]),
            np.log(np.array(rows, dtype=np.float32)[order]),
        )
        for name, rows in (("validation", validation), ("test", test))
    }
    return Predictions(["a", "b"], splits)


# -- every method --------------------------------------------------------------------------------------------------------


def test_every_method_of_the_project_is_tested_here() -> None:
    of_predictions = {name for name, part in parts("graft.ensembles").items() if "reads" not in part.facts}
    assert {method["name"] for method in METHODS.values()} == of_predictions


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_study_may_name_it_with_its_options(study: dict[str, Any], method: dict[str, Any]) -> None:
    study["ensembles"]["pair"]["method"] = method
    assert Study.model_validate(study).ensembles["pair"].method.dump().items() >= method.items()


@pytest.mark.parametrize("method", PLAIN.values(), ids=PLAIN)
@given(shape=SHAPES)
@settings(max_examples=20)
def test_a_member_alone_is_itself(drawn: Any, method: dict[str, Any], shape: tuple[int, int, int, int]) -> None:
    log_prob, label = drawn(*shape)
    found = fitted(method, log_prob[:1], label)
    assert found.weights == [1]
    np.testing.assert_allclose(found.apply(log_prob[:1]), log_prob[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", [*PLAIN.values(), METHODS["hard"]], ids=[*PLAIN, "hard"])
@given(shape=SHAPES)
@settings(max_examples=20)
def test_weights_share_one_and_probabilities_too(
    drawn: Any, method: dict[str, Any], shape: tuple[int, int, int, int]
) -> None:
    log_prob, label = drawn(*shape)
    found = fitted(method, log_prob, label)
    assert all(type(weight) is float and weight >= 0 for weight in found.weights)
    assert sum(found.weights) == pytest.approx(1)
    combined = found.apply(log_prob)
    assert combined.dtype == np.float32
    assert combined.shape == log_prob.shape[1:]
    np.testing.assert_allclose(exp(combined).sum(axis=1), 1, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"boosting", "greedy top1"}))  # these break ties by it
def test_the_order_of_members_does_not_matter(digits: Any, name: str) -> None:
    method = METHODS[name]
    log_prob, label = digits.log_prob["validation"], digits.label["validation"]
    order = [2, 0, 3, 1]
    one, other = fitted(method, log_prob, label), fitted(method, log_prob[order], label)
    tolerance = 2e-2 if method["name"] == "stacking" else 1e-4
    np.testing.assert_allclose(other.weights, np.array(one.weights)[order], atol=tolerance)
    test = digits.log_prob["test"]
    np.testing.assert_allclose(exp(other.apply(test[order])), exp(one.apply(test)), atol=tolerance)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_labels_of_the_test_split_decide_nothing(digits: Any, method: dict[str, Any]) -> None:
    members = digits.members()
    found = combine(members, method, temperature=True)
    for one in members.values():
        one.splits["test"] = one.splits["test"]._replace(label=np.zeros_like(one.splits["test"].label))
    other = combine(members, method, temperature=True)
    assert (found.weights, found.facts, found.temperature) == (other.weights, other.facts, other.temperature)
    for split, predictions in found.predictions.splits.items():
        np.testing.assert_array_equal(predictions.log_prob, other.predictions.splits[split].log_prob)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_what_comes_out_can_be_saved(digits: Any, method: dict[str, Any], tmp_path: Path) -> None:
    combined = combine(digits.members(), method).predictions
    save_predictions(tmp_path / "predictions.npz", combined)
    again = load_predictions(tmp_path / "predictions.npz")
    np.testing.assert_array_equal(again.splits["test"].log_prob, combined.splits["test"].log_prob)


@pytest.mark.parametrize("temperature", [False, True])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_what_is_fitted_is_what_is_combined(digits: Any, method: dict[str, Any], temperature: bool) -> None:
    members = digits.members()
    combined = combine(members, method, temperature)
    validation = {name: one._replace(splits={"validation": one.splits["validation"]}) for name, one in members.items()}
    for known in (members, validation):
        fitted = fit(known, method, temperature)
        assert (fitted.weights, fitted.facts, fitted.temperature) == (
            combined.weights,
            combined.facts,
            combined.temperature,
        )
        for split, expected in combined.predictions.splits.items():
            np.testing.assert_array_equal(fitted.apply(digits.log_prob[split]), expected.log_prob)


# -- around them ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_members_meet_on_their_samples_in_every_split(order: list[int]) -> None:
    one = member([[0.5, 0.5], [0.9, 0.1]], [[0.2, 0.8], [0.6, 0.4]], [0, 1])
    two = member([[0.1, 0.9], [0.7, 0.3]], [[0.4, 0.6], [0.8, 0.2]], order)
    combined, weights, facts, temperature = combine({"one": one, "two": two}, {"name": "soft_vote"})
    assert weights == [0.5, 0.5]
    assert facts == {}
    assert temperature is None
    assert combined.classes == ["a", "b"]
    assert combined.splits["test"].sample_id.tolist() == ["test0", "test1"]
    assert combined.splits["test"].label.tolist() == [0, 1]
    np.testing.assert_allclose(exp(combined.splits["test"].log_prob), [[0.3, 0.7], [0.7, 0.3]], rtol=1e-6)
    np.testing.assert_allclose(exp(combined.splits["validation"].log_prob), [[0.3, 0.7], [0.8, 0.2]], rtol=1e-6)


def good() -> Predictions:
    return member([[0.5, 0.5], [0.9, 0.1]], [[0.2, 0.8], [0.6, 0.4]], [0, 1])


def with_nan(split: str) -> Predictions:
    one = good()
    one.splits[split].log_prob[0, 0] = np.nan
    return one


def without_test() -> Predictions:
    return good()._replace(splits={"validation": good().splits["validation"]})


def without_images() -> Predictions:
    one = good()
    empty = SplitPredictions(*(array[:0] for array in one.splits["validation"]))
    return one._replace(splits={**one.splits, "validation": empty})


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({}, r"^an ensemble needs at least one member; name models that were trained$"),
        ({"a": good(), "b": with_nan("test")}, r"^b cannot be combined: its test split has .* \(NaN\); .*$"),
        ({"a": with_nan("validation")}, r"^a cannot be combined: its validation split has .* \(NaN\); .*$"),
        ({"a": good(), "b": without_test()}, r"^b cannot be combined: not every member has .* the test split$"),
        ({"a": without_images()}, r"^members cannot be combined: the validation split, .* has no images$"),
    ],
)
def test_members_that_cannot_be_combined_are_named_in_one_line(members: dict[str, Predictions], text: str) -> None:
    with pytest.raises(UserError, match=text):
        combine(members, {"name": "soft_vote"})


# -- temperature ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 3])
def test_the_temperature_is_that_of_scikit_learn(digits: Any, number: int) -> None:
    classifier, label = digits.classifiers[number], digits.label["validation"]
    theirs = CalibratedClassifierCV(FrozenEstimator(classifier), method="temperature", cv=2)
    log_prob = digits.log_prob["validation"][number]
    (calibrated, *_) = theirs.fit(digits.inputs["validation"], label).calibrated_classifiers_
    (calibrator,) = calibrated.calibrators
    ours = best_temperature(log_prob, label)
    assert LEAST < ours < MOST
    assert ours == pytest.approx(1 / calibrator.beta_, rel=1e-2)


def test_a_known_temperature_is_found() -> None:
    # Three of four images are right: best are odds of 3 to 1, which odds of 9 to 1 are at a temperature of two.
    label = np.array([0, 0, 0, 1])
    for odds, expected in ((3, 1), (9, 2), (27, 3), (3**0.5, 0.5)):
        log_prob = np.log(np.array([[odds, 1]] * 4) / (odds + 1)).astype(np.float32)
        assert best_temperature(log_prob, label) == pytest.approx(expected, rel=1e-3)


def test_perfect_predictions_and_impossible_images_give_a_temperature_within_bounds() -> None:
    certain = np.array([[0.0, -np.inf]] * 2, dtype=np.float32)
    assert best_temperature(certain, np.array([1, 1])) == 1
    assert LEAST <= best_temperature(np.log([[0.6, 0.4]] * 2), np.array([0, 0])) < LEAST * 1.01
    assert scaled(certain, 3.0).tolist() == certain.tolist()


@pytest.mark.parametrize("name", ["arithmetic", "hard", "greedy"])
def test_scaling_lowers_the_validation_log_loss_and_changes_no_choice(digits: Any, name: str) -> None:
    plain = combine(digits.members(), METHODS[name])
    after = combine(digits.members(), METHODS[name], temperature=True)
    label = digits.label["validation"]
    losses = [log_loss(found.predictions.splits["validation"].log_prob, label) for found in (plain, after)]
    assert losses[1] < losses[0]
    assert after.weights == plain.weights
    for split in ("validation", "test"):
        before, now = (found.predictions.splits[split].log_prob for found in (plain, after))
        np.testing.assert_array_equal(before.argmax(axis=1), now.argmax(axis=1))
        np.testing.assert_allclose(now, scaled(before, after.temperature))


# -- the job -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "temperature", "keys"),
    [
        ({"name": "weighted_vote"}, False, {"fitted"}),
        ({"name": "soft_vote"}, False, set()),
        ({"name": "stacking"}, True, {"temperature", "fitted"}),
    ],
)
def test_the_job_writes_what_was_fitted(
    digits: Any, tmp_path: Path, method: dict[str, Any], temperature: bool, keys: set[str]
) -> None:
    paths = []
    for name, predictions in digits.members().items():
        paths.append(tmp_path / name / "predictions.npz")
        paths[-1].parent.mkdir()
        save_predictions(paths[-1], predictions)
        record_sums(paths[-1].with_name("SHA256SUMS"), [paths[-1]])
    files = {"predictions": "predictions.npz", "ensemble": "ensemble.json", "sums": "SHA256SUMS"}
    files |= {table: f"{table}.csv" for table in ("members", "diversity", "growth")}
    output = {key: str(tmp_path / "out" / name) for key, name in files.items()}
    common = {"kind": "run", "dataset": "digits", "seed": 0, "count": 1, "networks": []}
    (tmp_path / "out").mkdir()
    job = SimpleNamespace(
        rule="combine_ensemble",
        wildcards=[],
        log=[str(tmp_path / "log")],
        input=SimpleNamespace(predictions=[str(path) for path in paths]),
        params=SimpleNamespace(
            method=method,
            temperature=temperature,
            members=[{"member": path.parent.name, "model": path.parent.name, **common} for path in paths],
            best=None,
            preparation={"resize": "squash", "interpolation": "bicubic"},
        ),
        output=type("Output", (dict,), {"__getattr__": dict.__getitem__})(output),
    )
    runpy.run_path(str(SCRIPT), {"snakemake": job})
    described, rows = read_json(output["ensemble"]), read_csv(output["members"])
    assert {"method", "classes", "preparation", "members"} <= described.keys()
    assert described.keys() & {"temperature", "fitted"} == keys
    assert described["method"] == method
    assert rows["weight"].sum() == pytest.approx(1)
    np.testing.assert_allclose([row["weight"] for row in described["members"]], rows["weight"], rtol=1e-8)
    expected = combine(digits.members(), method, temperature)
    found = load_predictions(output["predictions"])
    np.testing.assert_array_equal(found.splits["test"].log_prob, expected.predictions.splits["test"].log_prob)
    assert described.get("temperature") == expected.temperature
    assert described.get("fitted", {}) == expected.facts
