from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graft.finetune
from graft.arrays import Data
from graft.errors import UserError
from graft.features import save_activations, split_network
from graft.finetune import build_network
from graft.metrics import log_loss, top_k_accuracy
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


def with_train(spec: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return spec | {"train": spec["train"] | changes}


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
    with_one_gpu = {"device_peak_memory_mib"} if "gpu" in facts["device"] else set()
    assert {key for key in facts if "memory" in key} == with_one_gpu


def test_what_is_saved_of_a_run_is_the_network_without_its_optimizer(keras: Any, scratch: Any, tmp_path: Path) -> None:
    assert not scratch.model.compiled
    scratch.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert not loaded.compiled


def test_an_epoch_may_be_so_many_steps(runs: Any, data: Data) -> None:
    run = runs.train_run(SCRATCH | {"train": TRAIN | {"steps_per_epoch": 1}}, data, 0)
    assert run.images == 2 * len(data.rows["train"]) // 3, "36 images are three batches of 16"
    assert bits(run) != bits(runs.train_run(SCRATCH, data, 0))


@pytest.mark.parametrize(
    ("architecture", "size", "published"),
    [("resnet50", 224, 3.86e9), ("vgg16", 224, 15.35e9), ("mobilenetv2", 224, 0.3e9)],
)
def test_multiply_adds_are_those_published(runs: Any, architecture: str, size: int, published: float) -> None:
    """He et al., arXiv 1512.03385, table 1 (3.8e9) and Simonyan and Zisserman (without VGG's dense layers); Sandler et al.,
    arXiv 1801.04381, table 4."""
    model = build_network(architecture, size, 1000)
    assert runs.multiply_adds(model) == pytest.approx(published, rel=0.02)


# -- recipes -------------------------------------------------------------------------------------------------------------


def seen(runs: Any, data: Data, **train: Any) -> tuple[Any, ...]:
    """The first training batch as the network sees it."""
    change = runs._training_change(TRAIN | train, data, 0)
    rows = data.rows["train"][:12]
    return change((data.inputs[0][rows],), data.label[rows], rows, 0, 0)


def test_smoothed_labels_share_what_they_lose(runs: Any, data: Data) -> None:
    images, labels = seen(runs, data, label_smoothing=0.1)
    rows = data.rows["train"][:12]
    np.testing.assert_array_equal(images, data.inputs[0][rows])
    expected = np.full((12, 10), 0.01) + 0.9 * np.eye(10)[data.label[rows]]
    np.testing.assert_allclose(labels, expected, atol=1e-6)


def test_labels_are_smoothed_for_training_alone(runs: Any, data: Data) -> None:
    run = runs.train_run(with_train(SCRATCH, epochs=1, label_smoothing=0.9), data, 0)
    log_prob = runs.predict_run(run.network, data).splits["validation"].log_prob
    label = data.label[data.rows["validation"]]
    assert run.history[-1]["val_loss"] == pytest.approx(log_loss(log_prob, label), rel=1e-4)


def test_balanced_weights_are_those_of_scikit_learn(runs: Any, data: Data) -> None:
    from sklearn.utils.class_weight import compute_class_weight

    label = data.label[data.rows["train"]]
    expected = compute_class_weight("balanced", classes=np.arange(10), y=label)
    _, labels, weights = seen(runs, data, class_weights="balanced")
    np.testing.assert_allclose(weights, expected[labels], rtol=1e-5)
    np.testing.assert_array_equal(labels, label[:12])
    _, labels, weights = seen(runs, data, class_weights={"3": 7.0})
    assert weights.tolist() == [7.0 if label == 3 else 1.0 for label in labels]
    with pytest.raises(UserError, match=r"^train\.class_weights: 'three' is not a class; "):
        seen(runs, data, class_weights={"three": 2.0})


def test_mixed_labels_and_weights_of_classes_go_together(runs: Any, data: Data) -> None:
    _, labels, weights = seen(runs, data, class_weights={"3": 7.0}, augment={"mixup": 1.0}, label_smoothing=0.1)
    assert labels.shape == (12, 10)
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-5)
    hard = (labels - 0.01) / 0.9
    np.testing.assert_allclose(weights, 1 + 6 * hard[:, 3], atol=1e-4)


def test_l2_is_added_to_the_loss(keras: Any, runs: Any, data: Data) -> None:
    still = with_train(SCRATCH, epochs=1, learning_rate=1e-30, optimizer={"name": "sgd"})
    plain, penalised = (runs.train_run(spec, data, 0) for spec in (still, with_train(still, l2=0.01)))
    kernels = [weight for weight in plain.model.trainable_weights if weight.name == "kernel"]
    squares = sum(float(np.sum(np.square(keras.ops.convert_to_numpy(kernel)))) for kernel in kernels)
    assert len(kernels) == 3
    difference = penalised.history[0]["val_loss"] - plain.history[0]["val_loss"]
    assert difference == pytest.approx(0.01 * squares, rel=1e-3)


def test_half_precision_trains_and_is_saved(keras: Any, runs: Any, data: Data, tmp_path: Path) -> None:
    run = runs.train_run(with_train(SCRATCH, precision="mixed_bfloat16"), data, 0)
    assert run.model.get_layer("first_conv").compute_dtype == "bfloat16"
    assert run.model.get_layer("first_conv").variable_dtype == "float32"
    run.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    one, other = (runs.predict_run(model, data).splits["test"].log_prob for model in (run.network, loaded))
    np.testing.assert_allclose(one, other, atol=1e-2)
    assert runs.train_run(SCRATCH, data, 0, epochs=1).model.get_layer("first_conv").compute_dtype == "float32"


def test_predictions_are_the_mean_over_views(keras: Any, runs: Any, data: Data, scratch: Any) -> None:
    ours = runs.predict_run(scratch.network, data, ["flip"]).splits["test"].log_prob
    images = data.inputs[0][data.rows["test"]]
    each = []
    for view in (images, images[:, :, ::-1]):
        logits = keras.ops.convert_to_numpy(scratch.network(view)).astype(np.float64)
        each.append(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(np.exp(ours), np.mean(each, axis=0), atol=1e-5)


def test_a_diverging_run_is_tried_once_at_a_tenth_of_the_rate(
    runs: Any, data: Data, caplog: pytest.LogCaptureFixture
) -> None:
    high = with_train(SCRATCH, optimizer={"name": "sgd"}, learning_rate=3e38, schedule={"name": "constant"}, epochs=1)
    with pytest.raises(runs.DivergedError), caplog.at_level("INFO"):
        runs.train_run(with_train(high, on_nan="lower_lr"), data, 0)
    assert caplog.text.count("once more, at a tenth of the rate") == 1
    tried: list[float] = []

    def once(spec: Any, *_: Any) -> Any:
        tried.append(spec["train"]["learning_rate"])
        if len(tried) == 1:
            raise runs.DivergedError(1, 2, {"loss": float("nan")})
        return "trained"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "_train_once", once)
        assert runs.train_run(with_train(SCRATCH, on_nan="lower_lr"), data, 0) == "trained"
    assert tried == pytest.approx([1e-2, 1e-3])


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying")])
def test_batches_that_do_not_fit_are_halved_or_named(
    runs: Any, data: Data, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    tried: list[tuple[int, int]] = []

    def once(spec: Any, *_: Any) -> Any:
        tried.append((spec["train"]["batch_size"], spec["train"].get("accumulate", 1)))
        raise error

    monkeypatch.setattr(runs, "_train_once", once)
    with pytest.raises(UserError, match=r"^out of memory with batch_size 16; lower train\.batch_size"):
        runs.train_run(SCRATCH, data, 0)
    with pytest.raises(UserError, match="batch_size 4;"):
        runs.train_run(with_train(SCRATCH, retries=2), data, 0)
    assert tried == [(16, 1), (16, 1), (8, 2), (4, 4)]


def test_other_errors_are_no_lack_of_memory(runs: Any, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    def once(*_: Any) -> Any:
        raise ValueError("something else")

    monkeypatch.setattr(runs, "_train_once", once)
    with pytest.raises(ValueError, match="something else"):
        runs.train_run(with_train(SCRATCH, retries=2, on_nan="lower_lr"), data, 0)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_checkpoint_belongs_to_all_that_decides_a_run(runs: Any, schedule: str) -> None:
    spec = with_train(SCRATCH, schedule={"name": schedule})
    key = runs.checkpoint_key(spec, "code", 0)
    assert runs.checkpoint_key(with_train(spec, checkpoint_minutes=3, retries=1), "code", 0) == key
    for other in (with_train(spec, batch_size=8), spec | {"options": {}}, spec | {"weights": {"run": "x"}}):
        assert runs.checkpoint_key(other, "code", 0) != key
    assert runs.checkpoint_key(spec, "code", 1) != key
    assert (runs.checkpoint_key(with_train(spec, epochs=99), "code", 0) == key) == (schedule == "constant")


# -- the head first, stages at rates of their own, weights of another run -------------------------------------------------

WARM = SCRATCH | {"weights": "known", "options": {}}


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
    import keras

    keras.utils.set_random_seed(0)  # as the run that they are for
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


RESNET50 = LITE0 | {"architecture": "resnet50", "weights": "none"}


@pytest.mark.parametrize(
    ("spec", "outputs"),
    [
        (FROZEN | {"options": {}, "head": {}}, 1),
        (LITE0 | {"freeze": {"before": "stage7"}, "head": {}}, 1),
        (LITE0 | {"freeze": {"before": "stage6_block2_depthwise"}, "head": {}}, 2),
        (RESNET50 | {"freeze": {"before": "conv5_block3_2_conv"}, "head": {}}, 2),
    ],
    ids=["toy", "Lite0", "Lite0 inside a block", "ResNet50 inside a block"],
)
def test_training_on_activations_is_training_on_images(
    runs: Any, digits: Callable[[int, int], Data], tmp_path: Path, spec: dict[str, Any], outputs: int
) -> None:
    """Where nothing draws numbers, the cache changes nothing but the time."""
    spec = with_train(spec, optimizer={"name": "sgd"}, learning_rate=1e-3)
    few = digits(spec["image_size"], 20)
    stored = activations(spec, few, tmp_path)
    assert len(stored.inputs) == outputs
    cached, whole = (runs.train_run(spec, inputs, 0) for inputs in (stored, few))
    losses = [[row["loss"] for row in run.history] for run in (cached, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    ours, theirs = (
        runs.predict_run(run.network, inputs).splits["test"] for run, inputs in ((cached, stored), (whole, few))
    )
    np.testing.assert_allclose(ours.log_prob, theirs.log_prob, atol=1e-5)
    again = runs.predict_run(cached.model, few).splits["test"]  # what is saved takes images
    np.testing.assert_allclose(again.log_prob, theirs.log_prob, atol=1e-5)


def test_steps_that_run_at_once_change_no_bit(runs: Any, digits: Callable[[int, int], Data], tmp_path: Path) -> None:
    few = digits(32, 60)
    spec = with_train(LITE0 | {"freeze": "all"}, epochs=2, batch_size=4)
    stored = activations(spec, few, tmp_path)
    chosen, single = (runs.train_run(given, stored, 0) for given in (spec, with_train(spec, steps_per_execution=1)))
    assert chosen.network.steps_per_execution == 32
    assert [row["loss"] for row in chosen.history] == [row["loss"] for row in single.history]
    for ours, theirs in zip(chosen.model.get_weights(), single.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_stored_views_are_not_augmented_again(runs: Any, data: Data, tmp_path: Path) -> None:
    spec = FROZEN | {"options": {}, "head": {}}
    prefix, _ = split_network(network(spec))
    (path,) = save_activations(prefix, data.inputs[0], tmp_path, views=2, options={"crop": 4})
    stored = data._replace(inputs=[np.load(path, mmap_mode="r")])
    viewed = runs.train_run(with_train(spec, augment={"crop": 4}, views=2), stored, 0)
    plain = runs.train_run(with_train(spec), data, 0)
    assert [row["loss"] for row in viewed.history] != [row["loss"] for row in plain.history]
    assert viewed.history[-1]["loss"] < viewed.history[0]["loss"]
