"""Networks whose weights are averaged: which of them, what their mean says, and when it is used."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from graft.arrays import Data
from graft.ensembles.temperature import best_temperature
from graft.ensembles.weight_average import LOSSES, weight_average
from graft.errors import UserError
from graft.metrics import log_loss
from graft.predictions import Predictions, log_softmax
from graft.registry import parts

# -- the choice ----------------------------------------------------------------------------------------------------------


def logits_of(seed: int, members: int, rows: int = 12, classes: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=2, size=(members, rows, classes))


def mean_of_logits(logits: np.ndarray) -> Callable[[Sequence[int]], np.ndarray]:
    """What a linear network says whose weights are averaged."""
    return lambda chosen: log_softmax(logits[list(chosen)].mean(axis=0))


def said_by(logits: np.ndarray) -> np.ndarray:
    return np.stack([log_softmax(member) for member in logits])


@given(
    seed=st.integers(0, 999), members=st.integers(1, 6), mode=st.sampled_from(["greedy", "uniform"]),
    metric=st.sampled_from(sorted(LOSSES)),
)  # fmt: skip
def test_what_is_applied_is_no_worse_than_the_best_member(seed: int, members: int, mode: Any, metric: Any) -> None:
    logits, label = logits_of(seed, members), np.arange(12) % 3
    log_prob, soup_of = said_by(logits), mean_of_logits(logits)
    choice = weight_average(log_prob, label, soup_of, mode=mode, metric=metric)
    weights = np.array(choice.weights)
    assert weights.sum() == pytest.approx(1) and (weights >= 0).all()
    chosen = np.flatnonzero(weights)
    losses = [log_loss(member, label) for member in log_prob]
    loss = log_loss(soup_of(chosen), label)
    assert loss <= min(losses) + 1e-6
    assert choice.facts["best_member_log_loss"] == min(losses)
    if choice.facts["applied"] == "weight_average":
        assert choice.facts["average_log_loss"] == pytest.approx(loss) and loss < min(losses)
        assert set(weights[chosen]) == {1 / len(chosen)} and len(chosen) == choice.facts["averaged"]
        if mode == "greedy":
            least = min(LOSSES[metric](member, label) for member in log_prob)
            assert LOSSES[metric](soup_of(chosen), label) <= least
        else:
            assert len(chosen) == members
    else:
        assert weights[np.argmin(losses)] == 1


def test_a_greedy_soup_is_made_as_published() -> None:
    label = np.zeros(1, np.int64)

    def one_image(probability: float) -> np.ndarray:
        return np.log([[probability, 1 - probability]])

    # By worth 2, 0, 3, 1: 2 alone is 0.6; with 0 better; with 3 worse, so it is left out; with 1 the same, so it stays.
    soups = {(0, 2): 0.7, (0, 2, 3): 0.65, (0, 1, 2): 0.7}
    log_prob = np.stack([one_image(probability) for probability in (0.5, 0.3, 0.6, 0.4)])
    tried = []

    def soup_of(chosen: Sequence[int]) -> np.ndarray:
        tried.append(tuple(chosen))
        return one_image(soups[tuple(chosen)])

    choice = weight_average(log_prob, label, soup_of)
    assert tried == list(soups)
    assert choice.weights == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    assert choice.facts == {
        "applied": "weight_average",
        "averaged": 3,
        "average_log_loss": pytest.approx(-np.log(0.7)),
        "best_member_log_loss": pytest.approx(-np.log(0.6)),
    }


@pytest.mark.parametrize("mode", ["greedy", "uniform"])
def test_a_soup_of_one_member_is_that_member(mode: Any) -> None:
    log_prob, label = said_by(logits_of(0, 1)), np.arange(12) % 3
    choice = weight_average(log_prob, label, lambda chosen: pytest.fail("nothing is averaged"), mode=mode)
    assert choice.weights == [1]
    assert choice.facts["applied"] == "best_member"


def test_weights_that_are_no_network_lose() -> None:
    log_prob, label = said_by(logits_of(0, 3)), np.arange(12) % 3
    choice = weight_average(log_prob, label, lambda chosen: np.full((12, 3), np.nan), mode="uniform")
    assert choice.facts["applied"] == "best_member" and choice.facts["average_log_loss"] is None


def test_a_study_can_name_it() -> None:
    part = parts("graft.ensembles")["weight_average"]
    assert part.facts["reads"] == "weights"


# -- networks ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def soups(keras: Any) -> Any:
    """The module under test, which imports Keras."""
    import graft.soups

    return graft.soups


@pytest.fixture(scope="module")
def data(digits: Callable[[int, int], Data]) -> Data:
    return digits(8, 300)


def linear(keras: Any, weights: Sequence[np.ndarray]) -> Any:
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(10, name="logits")]
    network = keras.Sequential([keras.Input((8, 8, 3), dtype="uint8"), *layers])
    network.set_weights(list(weights))
    return network


@pytest.fixture(scope="module")
def regression(data: Data) -> LogisticRegression:
    """What scikit-learn finds, a point in the middle of the networks below."""
    rows = data.rows["train"]
    return LogisticRegression(C=0.1, max_iter=500).fit(
        data.inputs[0][rows].reshape(len(rows), -1) / 255, data.label[rows]
    )


@pytest.fixture(scope="module")
def saved(
    keras: Any, data: Data, regression: LogisticRegression, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Path], dict[str, Predictions]]:
    """Two linear networks on either side of a good one, and one far from it: their files, and what they say."""
    from graft.runs import predict_run

    folder, random = tmp_path_factory.mktemp("models"), np.random.default_rng(0)
    middle = [regression.coef_.T, regression.intercept_]
    beside, far = ([random.normal(scale=scale, size=each.shape) for each in middle] for scale in (0.3, 5))
    every = {
        "one": [each + step for each, step in zip(middle, beside, strict=True)],
        "lost": far,
        "other": [each - step for each, step in zip(middle, beside, strict=True)],
    }
    models, predictions = {}, {}
    for name, weights in every.items():
        network = linear(keras, weights)
        models[name] = folder / f"{name}.keras"
        network.save(models[name])
        predictions[name] = predict_run(network, data)
    return models, predictions


def some(saved: tuple[dict[str, Any], dict[str, Any]], *names: str) -> tuple[dict[str, Any], dict[str, Any]]:
    models, predictions = ({name: each[name] for name in names} for each in saved)
    return models, predictions


def test_a_uniform_soup_is_the_mean_by_hand(
    soups: Any, saved: Any, data: Data, regression: LogisticRegression, tmp_path: Path
) -> None:
    from graft.runs import predict_run

    model, combined = soups.average_models(
        *some(saved, "one", "other"), data, {"name": "weight_average", "mode": "uniform"}
    )
    assert combined.weights == [0.5, 0.5]
    assert combined.facts["applied"] == "weight_average"
    for ours, theirs in zip(model.get_weights(), (regression.coef_.T, regression.intercept_), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    for split in ("validation", "test"):
        rows = data.rows[split]
        expected = regression.predict_log_proba(data.inputs[0][rows].reshape(len(rows), -1) / 255)
        np.testing.assert_allclose(combined.predictions.splits[split].log_prob, expected, atol=1e-4)
    model.save(tmp_path / "model.keras")
    again = predict_run(soups.load_network(tmp_path / "model.keras"), data)
    for split, ours in combined.predictions.splits.items():
        assert again.splits[split].log_prob.tobytes() == ours.log_prob.tobytes()


def test_a_greedy_soup_leaves_out_what_does_not_help(soups: Any, saved: Any, data: Data) -> None:
    _, combined = soups.average_models(*saved, data, {"name": "weight_average"})
    _, alike = soups.average_models(*some(saved, "one", "other"), data, {"name": "weight_average"})
    assert combined.weights == [0.5, 0, 0.5]
    assert combined.facts == alike.facts and combined.facts["averaged"] == 2
    _, label, log_prob = combined.predictions.splits["validation"]
    assert log_loss(log_prob, label) == pytest.approx(combined.facts["average_log_loss"])
    assert combined.facts["average_log_loss"] < combined.facts["best_member_log_loss"]


@pytest.mark.parametrize("temperature", [False, True])
def test_a_mean_that_does_not_win_is_not_applied(soups: Any, saved: Any, data: Data, temperature: bool) -> None:
    models, predictions = some(saved, "lost", "one")
    method = {"name": "weight_average", "mode": "uniform"}
    model, combined = soups.average_models(models, predictions, data, method, temperature=temperature)
    assert combined.weights == [0, 1]
    assert combined.facts["applied"] == "best_member"
    assert combined.facts["average_log_loss"] > combined.facts["best_member_log_loss"]
    kept = soups.load_network(models["one"]).get_weights()
    assert [each.tobytes() for each in model.get_weights()] == [each.tobytes() for each in kept]
    _, label, own = predictions["one"].splits["validation"]
    ours = combined.predictions.splits["validation"].log_prob
    assert combined.temperature == (pytest.approx(best_temperature(own, label)) if temperature else None)
    if temperature:
        np.testing.assert_allclose(ours, log_softmax(own / combined.temperature), atol=1e-5)
        assert log_loss(ours, label) < log_loss(own, label)
    else:
        assert ours.tobytes() == own.tobytes()


def test_equal_weights_stay_to_the_bit(soups: Any) -> None:
    frozen = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    for members in (2, 3, 7):
        (mean,) = soups.mean_weights([[frozen]] * members)
        assert mean.dtype == np.float32 and mean.tobytes() == frozen.tobytes()


# -- batch normalisation -------------------------------------------------------------------------------------------------


def normalised(keras: Any, seed: int = 0) -> Any:
    """Convolutions and batch normalisation, of which one is frozen."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    inputs = keras.Input((8, 8, 3), dtype="uint8")
    x = layers.Conv2D(4, 3, name="conv0")(layers.Rescaling(1 / 255)(inputs))
    x = layers.BatchNormalization(name="frozen", trainable=False)(x)
    for k in (1, 2):
        x = layers.Conv2D(5, 3, name=f"conv{k}")(x)
        x = layers.ReLU()(layers.BatchNormalization(name=f"bn{k}", momentum=0.9)(x))
    return keras.Model(inputs, layers.Dense(10, name="logits")(layers.Flatten()(x)))


@pytest.mark.parametrize(("batch", "exact"), [(256, ["bn1", "bn2"]), (50, ["bn1"])])
def test_statistics_are_those_of_the_activations(
    keras: Any, soups: Any, data: Data, monkeypatch: pytest.MonkeyPatch, batch: int, exact: list[str]
) -> None:
    monkeypatch.setattr(soups, "PREDICT_BATCH", batch)
    network, rows = normalised(keras), data.rows["train"]
    before = {layer.name: layer.get_weights() for layer in network.layers}
    soups.estimate_statistics(network, data.inputs[0], rows)
    for name in exact:
        layer = network.get_layer(name)
        entering = keras.Model(network.input, layer.input).predict(data.inputs[0][rows], verbose=0).astype(np.float64)
        np.testing.assert_allclose(layer.moving_mean, entering.mean(axis=(0, 1, 2)), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(layer.moving_variance, entering.var(axis=(0, 1, 2)), rtol=1e-3, atol=1e-6)
        assert layer.momentum == 0.9
    for layer in network.layers:
        now = layer.get_weights()[: 2 if layer.name.startswith("bn") else None]  # scale and offset are learnt
        for ours, theirs in zip(now, before[layer.name], strict=False):
            np.testing.assert_array_equal(ours, theirs)


def test_a_soup_has_statistics_of_its_own(keras: Any, soups: Any, data: Data, tmp_path: Path) -> None:
    from graft.runs import predict_run

    models, predictions = {}, {}
    middle = normalised(keras)
    rows = data.rows["train"]
    soups.estimate_statistics(middle, data.inputs[0], rows)
    features = keras.Model(middle.input, middle.layers[-2].output).predict(data.inputs[0], verbose=0)
    head = LogisticRegression(C=0.1, max_iter=500).fit(features[rows], data.label[rows])
    middle.layers[-1].set_weights([head.coef_.T, head.intercept_])
    random = np.random.default_rng(0)
    steps = [0.15 * np.std(each) * random.normal(size=each.shape) for each in middle.get_weights()]
    for name, sign in (("up", 1), ("down", -1)):
        network = keras.models.clone_model(middle)
        network.set_weights([each + sign * step for each, step in zip(middle.get_weights(), steps, strict=True)])
        network.get_layer("bn1").moving_mean.assign(np.zeros(5))  # statistics that are as wrong in both
        models[name] = tmp_path / f"{name}.keras"
        network.save(models[name])
        predictions[name] = predict_run(network, data)
    model, combined = soups.average_models(models, predictions, data, {"name": "weight_average", "mode": "uniform"})
    assert combined.facts["applied"] == "weight_average"
    assert combined.facts["statistics_images"] == len(rows)
    for name in ("bn1", "bn2"):
        ours, theirs = (network.get_layer(name) for network in (model, middle))
        np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(ours.moving_variance, theirs.moving_variance, rtol=1e-3, atol=1e-4)
    ours = combined.predictions.splits["test"].log_prob
    np.testing.assert_allclose(ours, predict_run(middle, data).splits["test"].log_prob, atol=1e-2)


# -- refusals ------------------------------------------------------------------------------------------------------------


def test_networks_of_other_shapes_are_both_named(
    keras: Any, soups: Any, saved: Any, data: Data, tmp_path: Path
) -> None:
    models, predictions = some(saved, "one", "other")
    wider = keras.Sequential([keras.Input((8, 8, 3), dtype="uint8"), keras.layers.Flatten(), keras.layers.Dense(11)])
    wider.save(tmp_path / "wider.keras")
    normalised(keras).save(tmp_path / "deeper.keras")
    for file, text in (
        ("wider", r"logits/kernel is \(192, 10\) and \(192, 11\); name members of one architecture"),
        ("deeper", "2 and 20 arrays of weights; name members of one architecture"),
    ):
        with pytest.raises(
            UserError, match=rf"^one and other cannot be averaged, for their networks differ: .*{text}$"
        ):
            soups.average_models(
                models | {"other": tmp_path / f"{file}.keras"}, predictions, data, {"name": "weight_average"}
            )


def test_members_of_other_images_are_refused(soups: Any, saved: Any, data: Data) -> None:
    fewer = data._replace(sample_id=np.array([f"other {k}" for k in range(len(data.label))]))
    with pytest.raises(UserError, match=r"^the members predicted samples that the data set does not have; train them"):
        soups.average_models(*some(saved, "one", "other"), fewer, {"name": "weight_average"})
