from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graft.finetune
from graft.arrays import Data
from graft.features import save_activations, split_network
from graft.finetune import build_network
from graft.metrics import top_k_accuracy
from graft.registry import Part, parts
from graft.weights import Weights

TRAIN = {
    "epochs": 2,
    "batch_size": 16,
    "optimizer": {"name": "adam"},
    "learning_rate": 1e-2,
    "schedule": {"name": "cosine"},
}
SCRATCH = {"architecture": "tiny", "image_size": 8, "options": {"dropout": 0.2}, "train": TRAIN}
FROZEN = SCRATCH | {"weights": "known", "freeze": {"before": "second"}, "head": {"dense": [8]}}
LITE0 = {
    "architecture": "efficientnet_lite0",
    "image_size": 32,
    "weights": "imagenet",
    "freeze": {"before": "stage6_block2"},
    "head": {"pooling": "avg", "dense": [], "dropout": 0.2},
    "options": {},
    "train": TRAIN | {"epochs": 1},
}


def tiny(inputs: Any, *, dropout: float = 0.0) -> Any:
    """A backbone with all that matters in training: convolutions, batch normalisation and dropout."""
    from keras import layers

    x = layers.Rescaling(1 / 255)(inputs)  # without a name, which a run must give it anew
    for stage in ("first", "second"):
        x = layers.Conv2D(4, 3, padding="same", name=f"{stage}_conv")(x)
        x = layers.ReLU(name=f"{stage}_relu")(layers.BatchNormalization(name=f"{stage}_bn")(x))
    return layers.Dropout(dropout, name="second_dropout")(x)


def known_weights(model: Any, _: Path | None) -> None:
    random = np.random.default_rng(0)
    for layer in model.layers:
        layer.set_weights([random.uniform(0.1, 0.5, weight.shape) for weight in layer.get_weights()])


@pytest.fixture(scope="module", autouse=True)
def architectures() -> Iterator[None]:
    """Adds the tiny backbone to the architectures that can be named."""
    part = Part("tiny", __name__, tiny, {"backbone": True, "weights": {"known": Weights(known_weights)}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graft.finetune, "parts", lambda package: {**parts(package), "tiny": part})
        yield


def network(spec: dict[str, Any]) -> Any:
    """The network of a run before it is trained."""
    return build_network(**{key: value for key, value in spec.items() if key != "train"}, classes=10)


@pytest.fixture(scope="module")
def runs(keras: Any) -> Any:
    """The module under test, which imports Keras."""
    import graft.runs

    return graft.runs


@pytest.fixture(scope="module")
def data(digits: Callable[[int, int], Data]) -> Data:
    return digits(8, 60)


def bits(trained: Any) -> list[bytes]:
    return [weight.tobytes() for weight in trained.model.get_weights()]


# -- from scratch --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scratch(runs: Any, data: Data) -> Any:
    return runs.train_run(SCRATCH, data, 0)


def test_equal_seeds_give_equal_bits(runs: Any, data: Data, scratch: Any) -> None:
    again = runs.train_run(SCRATCH, data, 0)
    assert bits(again) == bits(scratch)
    assert again.history == scratch.history
    assert [layer.name for layer in again.model.layers] == [layer.name for layer in scratch.model.layers]
    ours, theirs = (runs.predict_run(run.network, data).splits["test"] for run in (again, scratch))
    assert ours.log_prob.tobytes() == theirs.log_prob.tobytes()


def test_another_seed_gives_another_run(runs: Any, data: Data, scratch: Any) -> None:
    other = runs.train_run(SCRATCH, data, 1, epochs=1)
    assert bits(other) != bits(scratch)
    assert other.history[0]["loss"] != scratch.history[0]["loss"]


def test_a_seed_decides_the_initial_weights(runs: Any, data: Data) -> None:
    still = SCRATCH | {"train": TRAIN | {"learning_rate": 1e-12}}
    first, second = (runs.train_run(still, data, seed, epochs=1).model.get_layer("logits") for seed in (0, 1))
    assert np.abs(first.get_weights()[0] - second.get_weights()[0]).max() > 0.1


def test_the_test_split_decides_nothing(runs: Any, data: Data, scratch: Any) -> None:
    inputs, label = data.inputs[0].copy(), data.label.copy()
    inputs[data.rows["test"]] = 255 - inputs[data.rows["test"]]
    label[data.rows["test"]] = 0
    other = runs.train_run(SCRATCH, data._replace(inputs=[inputs], label=label), 0)
    assert bits(other) == bits(scratch)
    assert other.history == scratch.history


def test_predictions_are_of_validation_and_test_in_the_order_of_the_index(runs: Any, data: Data, scratch: Any) -> None:
    predictions = runs.predict_run(scratch.network, data)
    assert predictions.classes == data.classes
    assert list(predictions.splits) == ["validation", "test"]
    for name, split in predictions.splits.items():
        rows = data.rows[name]
        assert split.sample_id.tolist() == data.sample_id[rows].tolist()
        assert split.label.tolist() == data.label[rows].tolist()
        np.testing.assert_allclose(np.exp(split.log_prob.astype(float)).sum(axis=1), 1, rtol=1e-5)
    validation = predictions.splits["validation"]
    accuracy = top_k_accuracy(validation.log_prob, validation.label, 1)
    assert accuracy == pytest.approx(scratch.history[-1]["val_accuracy"])


def test_epochs_may_be_overridden_and_decide_the_schedule(runs: Any, data: Data) -> None:
    seen: list[int] = []
    run = runs.train_run(SCRATCH, data, 0, epochs=1, on_epoch=lambda epoch, logs: seen.append(epoch))
    assert seen == [1]
    assert [row["learning_rate"] for row in run.history] == pytest.approx([0.0], abs=1e-9)


def test_warm_up_is_by_epochs_and_leaves_one_of_fewer(runs: Any, data: Data) -> None:
    spec = SCRATCH | {"train": TRAIN | {"epochs": 4, "warmup_epochs": 2}}
    rates = [row["learning_rate"] for row in runs.train_run(spec, data, 0, epochs=4).history]
    assert rates == pytest.approx([0.005, 0.01, 0.005, 0], abs=1e-8)
    rates = [row["learning_rate"] for row in runs.train_run(spec, data, 0, epochs=2).history]
    assert rates == pytest.approx([0.01, 0], abs=1e-8)


def test_facts_of_a_run(runs: Any, data: Data, scratch: Any) -> None:
    facts = runs.run_facts(scratch)
    assert facts["epochs"] == 2
    convolutions, normalisations, logits = 9 * 4 * (3 + 4) + 2 * 4, 2 * 4 * 4, 4 * 10 + 10
    total = convolutions + normalisations + logits
    assert facts["parameters"] == {"total": total, "trainable": total - normalisations // 2}
    assert facts["backend"] == "tensorflow"
    assert facts["images_per_second"] > 0


def test_what_is_saved_of_a_run_is_the_network_without_its_optimizer(keras: Any, scratch: Any, tmp_path: Path) -> None:
    assert not scratch.model.compiled
    scratch.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert not loaded.compiled


def test_an_epoch_may_be_so_many_steps(runs: Any, data: Data) -> None:
    run = runs.train_run(SCRATCH | {"train": TRAIN | {"steps_per_epoch": 1}}, data, 0)
    assert run.images == 2 * len(data.rows["train"]) // 3, "36 images are three batches of 16"
    assert bits(run) != bits(runs.train_run(SCRATCH, data, 0))


# -- the head first, stages at rates of their own, weights of another run -------------------------------------------------

WARM = SCRATCH | {"weights": "known", "options": {}}


def with_train(spec: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return spec | {"train": spec["train"] | changes}


def test_first_the_head_is_trained_and_nothing_else(keras: Any, runs: Any, data: Data) -> None:
    spec = with_train(WARM, epochs=1, learning_rate=1e-30, head_first={"epochs": 2, "learning_rate": 1e-2})
    seen: list[int] = []
    run = runs.train_run(spec, data, 0, on_epoch=lambda epoch, logs: seen.append(epoch))
    keras.utils.set_random_seed(0)
    before = network(spec)
    assert [row["epoch"] for row in run.history] == seen == [1, 2, 3]
    assert [row["learning_rate"] for row in run.history[:2]] == pytest.approx([1e-2, 1e-2])
    moved = changed_layers(run.model, before)
    assert "logits" in moved and not {"first_conv", "second_conv"} & moved
    for name in ("first_bn", "second_bn"):  # their statistics move in the second phase alone
        gamma = [model.get_layer(name).get_weights()[0] for model in (run.model, before)]
        assert np.array_equal(*gamma)
    assert all(layer.trainable for layer in run.model.layers)


def test_after_the_head_everything_is_trained(keras: Any, runs: Any, data: Data) -> None:
    spec = with_train(WARM, head_first={"epochs": 1, "learning_rate": 1e-2})
    run = runs.train_run(spec, data, 0)
    keras.utils.set_random_seed(0)
    assert changed_layers(run.model, network(spec)) == {"first_conv", "first_bn", "second_conv", "second_bn", "logits"}


def test_what_is_frozen_stays_frozen_after_the_head(keras: Any, runs: Any, data: Data, tmp_path: Path) -> None:
    spec = with_train(FROZEN, head_first={"epochs": 1, "learning_rate": 1e-2})
    run = runs.train_run(spec, activations(spec, data, tmp_path), 0)
    keras.utils.set_random_seed(0)
    assert changed_layers(run.model, network(spec)) == {"second_conv", "second_bn", "head_dense1", "logits"}
    assert not run.model.get_layer("first_conv").trainable


def test_each_epoch_of_both_phases_has_an_order_of_its_own(
    runs: Any, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    order = runs.Batches._order

    def spy(self: Any, number: int) -> Any:
        if self.seed is not None and passes[-1:] != [number]:
            passes.append(number)
        return order(self, number)

    monkeypatch.setattr(runs.Batches, "_order", spy)
    runs.train_run(with_train(WARM, epochs=2, head_first={"epochs": 2, "learning_rate": 1e-2}), data, 0)
    assert passes == [0, 1, 2, 3]


def test_layer_decay_slows_what_is_far_from_the_head(keras: Any, runs: Any, data: Data) -> None:
    slow = with_train(WARM, epochs=1, optimizer={"name": "sgd"}, layer_decay=1e-9)
    run = runs.train_run(slow, data, 0)
    keras.utils.set_random_seed(0)
    before = network(slow)
    for name in ("first_conv", "second_conv"):
        pair = [model.get_layer(name).get_weights()[0] for model in (run.model, before)]
        np.testing.assert_allclose(*pair, atol=1e-7)
    assert "logits" in changed_layers(run.model, before)


def test_a_run_starts_from_the_weights_of_another(
    keras: Any, runs: Any, data: Data, scratch: Any, tmp_path: Path
) -> None:
    scratch.model.save(tmp_path / "model.keras")
    spec = with_train(SCRATCH, learning_rate=1e-30) | {"weights": {"run": "scratch"}, "freeze": "all"}
    run = runs.train_run(spec | {"weights_file": str(tmp_path / "model.keras")}, data, 1)
    assert changed_layers(run.model, scratch.model) == set()


# -- fine-tuned on cached activations ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images(digits: Callable[[int, int], Data]) -> Data:
    return digits(32, 40)


def activations(spec: dict[str, Any], images: Data, folder: Path) -> Data:
    prefix, _ = split_network(network(spec))
    paths = save_activations(prefix, images.inputs[0], folder)
    return images._replace(inputs=[np.load(path, mmap_mode="r") for path in paths])


def changed_layers(model: Any, other: Any) -> set[str]:
    return {
        layer.name
        for layer, before in zip(model.layers, other.layers, strict=True)
        if any((a != b).any() for a, b in zip(layer.get_weights(), before.get_weights(), strict=True))
    }


@pytest.fixture(scope="module")
def cached(keras: Any, images: Data, tmp_path_factory: pytest.TempPathFactory) -> Data:
    return activations(LITE0, images, tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="module")
def tuned(runs: Any, cached: Data) -> Any:
    return runs.train_run(LITE0, cached, 0)


def test_frozen_layers_do_not_change_by_a_bit_and_all_others_do(keras: Any, tuned: Any) -> None:
    keras.utils.set_random_seed(0)
    untrained = network(LITE0)
    weighted = [layer.name for layer in untrained.layers if layer.weights]
    assert changed_layers(tuned.model, untrained) == set(weighted[weighted.index("stage6_block2_expand_conv") :])
    for statistic in ("moving_mean", "moving_variance"):
        after, before = (getattr(model.get_layer("top_bn"), statistic) for model in (tuned.model, untrained))
        assert keras.ops.any(after != before)


def test_a_saved_model_needs_nothing_beside_it(
    keras: Any, runs: Any, images: Data, cached: Data, tuned: Any, tmp_path: Path
) -> None:
    tuned.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    whole, part = (runs.predict_run(net, data) for net, data in ((loaded, images), (tuned.network, cached)))
    for name in ("validation", "test"):
        ours, theirs = whole.splits[name], part.splits[name]
        assert ours.sample_id.tolist() == theirs.sample_id.tolist()
        assert np.ptp(theirs.log_prob) > 0.5
        np.testing.assert_allclose(np.exp(ours.log_prob), np.exp(theirs.log_prob), atol=1e-5)


def test_facts_of_a_frozen_run_count_what_trains(runs: Any, cached: Data, tuned: Any) -> None:
    parameters = runs.run_facts(tuned)["parameters"]
    assert parameters["total"] == 3_413_024 + 12_810
    assert parameters["trainable"] == sum(int(np.prod(weight.shape)) for weight in tuned.network.trainable_weights)
    assert 0 < parameters["trainable"] < parameters["total"]


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({}, {"second_conv", "second_bn", "head_dense1", "logits"}),
        ({"freeze_batch_norm": True}, {"second_conv", "head_dense1", "logits"}),
        ({"freeze": "all"}, {"head_dense1", "logits"}),
        ({"freeze": "none"}, {"first_conv", "first_bn", "second_conv", "second_bn", "head_dense1", "logits"}),
    ],
    ids=["before a stage", "batch norm besides", "all", "none"],
)
def test_training_changes_what_is_not_frozen_and_no_bit_else(
    keras: Any, runs: Any, data: Data, tmp_path: Path, changes: dict[str, Any], changed: set[str]
) -> None:
    spec = FROZEN | changes
    inputs = data if spec["freeze"] == "none" else activations(spec, data, tmp_path)
    keras.utils.set_random_seed(0)
    assert changed_layers(runs.train_run(spec, inputs, 0).model, network(spec)) == changed


def test_training_on_activations_is_training_on_images(keras: Any, runs: Any, data: Data, tmp_path: Path) -> None:
    """Where nothing draws numbers, the cache changes nothing but the time."""
    spec = FROZEN | {"options": {}, "head": {}}
    cached, whole = (runs.train_run(spec, inputs, 0) for inputs in (activations(spec, data, tmp_path), data))
    losses = [[row["loss"] for row in run.history] for run in (cached, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for ours, theirs in zip(cached.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
