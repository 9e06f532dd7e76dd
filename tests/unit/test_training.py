import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.arrays import Data
from graft.checkpoints import Checkpoints
from graft.errors import UserError
from graft.metrics import log_loss, top_k_accuracy

ADAM = {"optimizer": {"name": "adam"}, "learning_rate": 0.01, "schedule": {"name": "constant"}}


@pytest.fixture
def training(keras: Any) -> Any:
    """The module under test, which imports Keras."""
    import graft.training

    return graft.training


@pytest.fixture
def data(digits: Callable[[int, int], Data]) -> Data:
    return digits(8, 100)


def small_network(keras: Any, seed: int = 0) -> Any:
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((8, 8, 3), dtype="uint8"), *layers])


def batches_of(training: Any, data: Data, split: str, batch_size: int = 16, seed: int | None = None) -> Any:
    return training.Batches(data.inputs, data.label, data.rows[split], batch_size, seed)


# -- batches -------------------------------------------------------------------------------------------------------------


def rows_of(batches: Any) -> list[list[int]]:
    return [batches[k][1].tolist() for k in range(len(batches))]


def flat(batches: list[list[int]]) -> list[int]:
    return [row for batch in batches for row in batch]


def bits(network: Any) -> list[bytes]:
    return [weights.tobytes() for weights in network.get_weights()]


def numbered(training: Any, rows: Any, batch_size: int, seed: int | None = None, inputs: int = 1) -> Any:
    """Batches whose labels and inputs are their rows."""
    count = max(rows, default=0) + 1
    return training.Batches([np.arange(count)[:, None]] * inputs, np.arange(count), np.array(rows), batch_size, seed)


@given(st.lists(st.integers(0, 50), unique=True, min_size=1), st.integers(1, 9), st.integers(0, 99))
def test_an_epoch_covers_every_row_once(training: Any, rows: list[int], batch_size: int, seed: int) -> None:
    batches = numbered(training, rows, batch_size, seed)
    for epoch in range(3):
        batches.start(epoch)
        seen = rows_of(batches)
        assert sorted(flat(seen)) == sorted(rows)
        assert {len(batch) for batch in seen[:-1]} <= {batch_size}
        assert all(batch == sorted(batch) for batch in seen)


def test_each_epoch_and_seed_has_an_order_of_its_own(training: Any) -> None:
    orders = set()
    for seed in (0, 1):
        batches = numbered(training, range(40), 8, seed)
        for epoch in range(3):
            batches.start(epoch)
            orders.add(str(rows_of(batches)))
    assert len(orders) == 6


@pytest.mark.parametrize("steps", [1, 3, 5, 12])
def test_epochs_of_so_many_steps_go_on_where_the_last_one_ended(training: Any, steps: int) -> None:
    passes, counted = numbered(training, range(40), 8, 3), numbered(training, range(40), 8, 3)
    counted = training.Batches(counted.inputs, counted.labels, counted.rows, 8, 3, steps)
    assert len(counted) == steps
    seen, expected = [], []
    for epoch in range(12):
        counted.start(epoch)
        seen += rows_of(counted)
    for epoch in range(len(seen) // len(passes) + 1):
        passes.start(epoch)
        expected += rows_of(passes)
    assert seen == expected[: len(seen)]
    assert counted.images == 8 * steps


def test_passes_take_views_in_turn_and_predictions_see_the_images(training: Any) -> None:
    arrays = [np.arange(30)[:, None], 100 + np.arange(30)[:, None]]  # ten images and two more views of each
    rows = np.array([2, 3, 5, 7])
    shuffled, ordered = (training.Batches(arrays, np.arange(10), rows, 3, seed) for seed in (1, None))
    for batches, expected in ((shuffled, [10, 20, 10]), (ordered, [0, 0, 0])):
        for epoch, first in enumerate(expected):
            batches.start(epoch)
            inputs, labels = ([*zip(*batches, strict=True)][k] for k in (0, 1))
            assert sorted(np.concatenate(labels)) == list(rows)
            for (one, other), label in zip(inputs, labels, strict=True):
                assert (one[:, 0] == label + first).all()
                assert (other[:, 0] == label + first + 100).all()


@pytest.mark.parametrize("steps", [None, 3, 7])
def test_an_epoch_may_be_entered_at_any_step(training: Any, steps: int | None) -> None:
    whole = numbered(training, range(40), 8, 3)
    whole = training.Batches(whole.inputs, whole.labels, whole.rows, 8, 3, steps)
    for epoch in range(3):
        whole.start(epoch)
        expected = rows_of(whole)
        for step in range(len(expected)):
            whole.start(epoch, step)
            assert rows_of(whole) == expected[step:]


def test_the_order_of_an_epoch_is_found_again(training: Any) -> None:
    one, two = (numbered(training, range(40), 8, 3) for _ in range(2))
    for batches in (one, two):
        batches.start(1)
    random.seed(5)
    np.random.seed(5)
    assert rows_of(one) == rows_of(two)


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1]])
def test_without_a_seed_batches_follow_the_rows(training: Any, rows: list[int]) -> None:
    batches = numbered(training, rows, 2)
    assert rows_of(batches) == [rows[:2], rows[2:4], rows[4:]]
    batches.start(1)
    assert flat(rows_of(batches)) == rows


@pytest.mark.parametrize("inputs", [1, 2])
def test_inputs_and_labels_of_a_batch_are_of_the_same_rows(training: Any, inputs: int) -> None:
    arrays, labels = numbered(training, range(10), 4, 0, inputs)[1]
    assert len(labels) == 4
    for array in arrays if inputs > 1 else [arrays]:
        assert array[:, 0].tolist() == labels.tolist()


# -- training ------------------------------------------------------------------------------------------------------------


def trained(keras: Any, training: Any, data: Data, *, seed: int = 0, epochs: int = 3, **changes: Any) -> Any:
    network = small_network(keras, seed)
    batches = batches_of(training, data, "train", seed=seed)
    more = {key: changes.pop(key) for key in ("checkpoints", "on_epoch") if key in changes}
    stopping = changes.pop("early_stopping", None)

    def start() -> None:
        training.compile_network(network, epochs * len(batches), **ADAM | changes)

    phases = [training.Phase(epochs, start, stopping)]
    history = training.train_network(network, phases, batches, batches_of(training, data, "validation"), **more)
    return network, history


def test_history_has_a_row_for_each_epoch(keras: Any, training: Any, data: Data) -> None:
    network, history = trained(keras, training, data)
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert history[0].keys() == {"epoch", "accuracy", "loss", "val_accuracy", "val_loss", "learning_rate"}
    assert history[-1]["loss"] < history[0]["loss"]
    log_prob = training.predict_log_prob(network, batches_of(training, data, "validation"))
    label = data.label[data.rows["validation"]]
    assert history[-1]["val_loss"] == pytest.approx(log_loss(log_prob, label), rel=1e-4)
    assert history[-1]["val_accuracy"] == pytest.approx(top_k_accuracy(log_prob, label, 1))


def test_each_epoch_is_handed_on(keras: Any, training: Any, data: Data) -> None:
    seen: list[tuple[int, float]] = []
    _, history = trained(keras, training, data, on_epoch=lambda epoch, logs: seen.append((epoch, logs["val_loss"])))
    assert seen == [(row["epoch"], row["val_loss"]) for row in history]


def test_the_state_of_global_generators_does_not_count(keras: Any, training: Any, data: Data) -> None:
    outcomes = []
    for state in (1, 2):
        random.seed(state)
        np.random.seed(state)
        network, _ = trained(keras, training, data, epochs=2)
        outcomes.append(bits(network))
    assert outcomes[0] == outcomes[1]


def test_an_epoch_is_its_batches_in_their_order(keras: Any, training: Any, data: Data) -> None:
    """Keras shuffles nothing, and reads no batch of the epoch before or after."""
    network, _ = trained(keras, training, data, epochs=3)
    by_hand = small_network(keras)
    training.compile_network(by_hand, 1, **ADAM)
    batches = batches_of(training, data, "train", seed=0)
    for epoch in range(3):
        batches.start(epoch)
        for k in range(len(batches)):
            by_hand.train_on_batch(*batches[k])
    for ours, theirs in zip(network.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("epochs", [1, 4])
def test_cosine_falls_as_its_formula(keras: Any, training: Any, data: Data, epochs: int) -> None:
    _, history = trained(keras, training, data, epochs=epochs, schedule={"name": "cosine"}, learning_rate=0.02)
    expected = [0.02 * (1 + math.cos(math.pi * epoch / epochs)) / 2 for epoch in range(1, epochs + 1)]
    assert [row["learning_rate"] for row in history] == pytest.approx(expected, abs=1e-8)


def test_a_triangular_rate_rises_evenly_to_its_peak_and_falls_to_zero(keras: Any, training: Any) -> None:
    network = small_network(keras)
    schedule = {"name": "triangular", "peak": 0.25}
    training.compile_network(network, 40, optimizer={"name": "sgd"}, learning_rate=0.02, schedule=schedule)
    rate = network.optimizer._learning_rate
    rates = [float(keras.ops.convert_to_numpy(rate(step))) for step in (0, 5, 10, 25, 40, 50)]
    assert rates == pytest.approx([0, 0.01, 0.02, 0.01, 0, 0], abs=1e-8)


def test_accumulated_gradients_are_those_of_a_larger_batch(keras: Any, training: Any, data: Data) -> None:
    weights = []
    for batch_size, accumulate in ((30, 1), (15, 2)):
        network = small_network(keras)
        options = {"optimizer": {"name": "sgd"}, "learning_rate": 0.1, "schedule": {"name": "constant"}}
        rows = data.rows["train"]

        def start(network: Any = network, accumulate: int = accumulate, options: Any = options) -> None:
            training.compile_network(network, 4 // accumulate, accumulate=accumulate, **options)

        batches = training.Batches(data.inputs, data.label, rows, batch_size)
        validation = batches_of(training, data, "validation")
        training.train_network(network, [training.Phase(2, start)], batches, validation)
        weights.append(network.get_weights())
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert np.abs(weights[0][0] - small_network(keras).get_weights()[0]).max() > 1e-3


@pytest.mark.parametrize("epochs", [1, 3])
def test_the_average_of_weights_is_validated_and_kept(keras: Any, training: Any, data: Data, epochs: int) -> None:
    """An average of momentum m is the mean that its formula gives, of weights that never learn of it."""
    plain = small_network(keras)
    options = {"optimizer": {"name": "sgd"}, "learning_rate": 0.1, "schedule": {"name": "constant"}}
    training.compile_network(plain, 4, **options)
    batches = training.Batches(data.inputs, data.label, data.rows["train"], 15)
    average = plain.get_weights()
    for k in range(epochs * len(batches)):
        plain.train_on_batch(*batches[k % len(batches)])
        # Keras starts the average at the first values that a step leaves.
        average = (
            plain.get_weights()
            if k == 0
            else [0.9 * a + 0.1 * w for a, w in zip(average, plain.get_weights(), strict=True)]
        )
    network = small_network(keras)
    phases = [training.Phase(epochs, lambda: training.compile_network(network, 4, ema=0.9, **options))]
    history = training.train_network(network, phases, batches, batches_of(training, data, "validation"))
    for ours, theirs in zip(network.get_weights(), average, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    log_prob = training.predict_log_prob(network, batches_of(training, data, "validation"))
    assert history[-1]["val_loss"] == pytest.approx(log_loss(log_prob, data.label[data.rows["validation"]]), rel=1e-4)


def test_a_training_goes_on_from_every_step_to_the_same_bits(
    keras: Any, training: Any, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two epochs of two steps, with an average of weights and a schedule."""
    monkeypatch.setattr("graft.checkpoints.KEPT", 99)
    options = {"optimizer": {"name": "adam"}, "learning_rate": 0.1, "schedule": {"name": "cosine"}}

    def train(checkpoints: Checkpoints) -> list[bytes]:
        network = small_network(keras)
        batches = training.Batches(data.inputs, data.label, data.rows["train"], 30, 0)
        phases = [training.Phase(2, lambda: training.compile_network(network, 4, ema=0.5, **options))]
        validation = batches_of(training, data, "validation", 64)
        return [
            *bits(network),
            str(training.train_network(network, phases, batches, validation, checkpoints=checkpoints)),
        ]

    every = Checkpoints(tmp_path / "every", "key", 0)
    whole = train(every)
    states = sorted((tmp_path / "every").glob("*.npz"))
    assert len(states) >= 4 + 1  # after each step, and at the end
    for state in states:
        folder = tmp_path / state.stem
        folder.mkdir()
        shutil.copy(state, folder)
        assert train(Checkpoints(folder, "key", 999)) == whole, state.stem


def test_a_rate_grows_evenly_to_where_the_cosine_starts(keras: Any, training: Any, data: Data) -> None:
    network, steps = small_network(keras), 40
    options = {"optimizer": {"name": "sgd"}, "learning_rate": 0.02, "schedule": {"name": "cosine"}}
    training.compile_network(network, steps, warmup_steps=10, **options)
    schedule = network.optimizer._learning_rate
    rates = [float(keras.ops.convert_to_numpy(schedule(step))) for step in (0, 5, 10, 25, 40)]
    assert rates == pytest.approx([0, 0.01, 0.02, 0.01, 0], abs=1e-8)


def test_inverse_time_is_the_decay_of_old_optimizers(keras: Any, training: Any, data: Data) -> None:
    schedule = {"name": "inverse_time", "decay": 0.5}
    _, history = trained(keras, training, data, epochs=3, schedule=schedule, learning_rate=0.02)
    steps = len(batches_of(training, data, "train"))
    assert [row["learning_rate"] for row in history] == pytest.approx([0.02 / (1 + 0.5 * steps * k) for k in (1, 2, 3)])


def test_factors_multiply_the_rate_of_a_layer(keras: Any, training: Any, data: Data) -> None:
    """Plain gradient descent moves weights by rate times gradient."""

    def moves(factors: dict[str, float] | None) -> dict[str, np.ndarray]:
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(8, name="first")]
        network = keras.Sequential(
            [keras.Input((8, 8, 3), dtype="uint8"), *layers, keras.layers.Dense(10, name="last")]
        )
        before = {name: network.get_layer(name).get_weights()[0] for name in ("first", "last")}
        options = {"optimizer": {"name": "sgd"}, "learning_rate": 0.1, "schedule": {"name": "constant"}}
        training.compile_network(network, 1, factors=factors, **options)
        network.train_on_batch(data.inputs[0][:16], data.label[:16])
        return {name: network.get_layer(name).get_weights()[0] - value for name, value in before.items()}

    plain, scaled = moves(None), moves({"rescaling": 1.0, "flatten": 1.0, "first": 0.25, "last": 1.0})
    assert np.abs(plain["first"]).max() > 1e-4
    np.testing.assert_allclose(scaled["first"], 0.25 * plain["first"], atol=1e-7)
    np.testing.assert_allclose(scaled["last"], plain["last"], atol=1e-7)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
def test_a_layer_whose_factor_is_zero_stays(keras: Any, training: Any, data: Data, optimizer: str) -> None:
    network = small_network(keras)
    before = network.get_weights()
    factors = {layer.name: 0.0 for layer in network.layers}
    options = {"learning_rate": 0.1, "schedule": {"name": "cosine"}}
    weight_decay = {"weight_decay": 1e-9} if optimizer == "adamw" else {}
    training.compile_network(network, 1, optimizer={"name": optimizer} | weight_decay, factors=factors, **options)
    network.train_on_batch(data.inputs[0][:16], data.label[:16])
    for one, other in zip(network.get_weights(), before, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8)


def test_a_constant_rate_stays(keras: Any, training: Any, data: Data) -> None:
    _, history = trained(keras, training, data, learning_rate=0.02)
    assert [row["learning_rate"] for row in history] == pytest.approx([0.02] * 3)


@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "adadelta", "rho": 0.8},
        {"name": "adagrad", "global_clipnorm": 1.0},
        {"name": "lamb", "beta_1": 0.8},
        {"name": "lion", "beta_2": 0.95},
        {"name": "muon", "momentum": 0.8, "nesterov": False},
        {"name": "nadam", "beta_1": 0.8, "clipnorm": 0.5},
        {"name": "sgd", "momentum": 0.5, "nesterov": True, "weight_decay": 1e-3, "clipvalue": 0.1},
        {"name": "adam", "beta_1": 0.8, "beta_2": 0.95},
        {"name": "adamw", "weight_decay": 0.25, "beta_1": 0.7, "beta_2": 0.9},
        {"name": "rmsprop", "rho": 0.7, "momentum": 0.3},
    ],
    ids=lambda optimizer: optimizer["name"],
)
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_optimizer_options_arrive(keras: Any, training: Any, optimizer: dict[str, Any], schedule: str) -> None:
    network = small_network(keras)
    training.compile_network(network, 10, optimizer=optimizer, learning_rate=0.03, schedule={"name": schedule})
    made = network.optimizer
    assert type(made).__name__.lower() == optimizer["name"]
    assert {key: getattr(made, key) for key in optimizer if key != "name"} == {
        key: value for key, value in optimizer.items() if key != "name"
    }
    assert float(keras.ops.convert_to_numpy(made.learning_rate)) == pytest.approx(0.03)


def test_options_that_are_left_out_are_keras_own(keras: Any, training: Any) -> None:
    network = small_network(keras)
    training.compile_network(network, 10, **ADAM)
    default = keras.optimizers.Adam()
    assert (network.optimizer.beta_1, network.optimizer.beta_2) == (default.beta_1, default.beta_2)


@pytest.mark.parametrize(("metric", "best"), [("val_loss", min), ("val_accuracy", max)])
def test_early_stopping_restores_the_best_epoch(
    keras: Any, training: Any, data: Data, metric: str, best: Callable[..., float]
) -> None:
    network, history = trained(
        keras,
        training,
        data,
        epochs=60,
        learning_rate=0.3,
        early_stopping={"metric": metric, "patience": 3},
    )
    values = [row[metric] for row in history]
    chosen = values.index(best(values))
    assert chosen == len(history) - 1 - 3
    assert history[-1]["val_loss"] != pytest.approx(history[chosen]["val_loss"], rel=1e-2)
    log_prob = training.predict_log_prob(network, batches_of(training, data, "validation"))
    measured = log_loss(log_prob, data.label[data.rows["validation"]])
    assert measured == pytest.approx(history[chosen]["val_loss"], rel=1e-4)


def test_the_best_epoch_is_restored_even_if_patience_lasts(keras: Any, training: Any, data: Data) -> None:
    stopping = {"metric": "val_loss", "patience": 50}
    network, history = trained(keras, training, data, epochs=12, learning_rate=0.3, early_stopping=stopping)
    values = [row["val_loss"] for row in history]
    assert len(values) == 12
    assert values[-1] > min(values)
    log_prob = training.predict_log_prob(network, batches_of(training, data, "validation"))
    assert log_loss(log_prob, data.label[data.rows["validation"]]) == pytest.approx(min(values), rel=1e-4)


def test_a_loss_that_is_no_number_ends_training_with_its_epoch(keras: Any, training: Any, data: Data) -> None:
    seen: list[int] = []
    with pytest.raises(training.DivergedError) as error:
        trained(
            keras,
            training,
            data,
            optimizer={"name": "sgd"},
            learning_rate=3e38,
            on_epoch=lambda epoch, logs: seen.append(epoch),
        )
    assert isinstance(error.value, UserError)
    assert str(error.value).startswith("training diverged in epoch 1, step ")
    assert "loss nan" in str(error.value)
    assert str(error.value).endswith("; lower train.learning_rate")
    assert seen == []


def test_a_training_that_was_longer_is_not_cut_short(keras: Any, training: Any, data: Data, tmp_path: Path) -> None:
    for epochs in (3, 2):
        _, history = trained(keras, training, data, epochs=epochs, checkpoints=training.Checkpoints(tmp_path, "key"))
        assert len(history) == epochs


def test_a_run_that_stopped_early_stays_stopped(keras: Any, training: Any, data: Data, tmp_path: Path) -> None:
    stopping = {"metric": "val_loss", "patience": 1}
    common = {"epochs": 30, "learning_rate": 0.3, "early_stopping": stopping}
    first, history = trained(keras, training, data, **common, checkpoints=training.Checkpoints(tmp_path, "key"))
    assert len(history) < 30
    again, same = trained(keras, training, data, **common, checkpoints=training.Checkpoints(tmp_path, "key"))
    assert same == history and bits(again) == bits(first)


# -- predictions ---------------------------------------------------------------------------------------------------------


def test_predictions_follow_the_rows(keras: Any, training: Any, data: Data) -> None:
    network = small_network(keras)
    shuffled = np.random.default_rng(0).permutation(data.rows["train"])
    batches = training.Batches(data.inputs, data.label, shuffled, 16)
    ours = training.predict_log_prob(network, batches)
    (images,) = data.inputs
    logits = keras.ops.convert_to_numpy(network(images[shuffled])).astype(np.float64)
    theirs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert ours.dtype == np.float32
    assert len({row.tobytes() for row in ours}) == len(ours)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
