"""A network that learns from what an ensemble says of the training images."""

import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from graft.arrays import Data, gather, open_soft_labels
from graft.config import Study
from graft.errors import UserError
from graft.files import record_sums, write_json
from graft.metrics import log_loss
from graft.predictions import save_predictions
from graft.soft_labels import SoftLabels, in_rows, load_soft_labels, save_soft_labels, targets
from graft.spec import chosen_spec

ROOT = Path(__file__).resolve().parents[2]
TRAIN = {
    "epochs": 2,
    "batch_size": 16,
    "optimizer": {"name": "adam"},
    "learning_rate": 1e-2,
    "schedule": {"name": "constant"},
}
SPEC = {"architecture": "mnist_mlp", "image_size": 8, "options": {"dropout": 0.0}, "train": TRAIN}
LABELS = SoftLabels(
    ["a", "b"],
    np.array(["x", "y", "z"]),
    np.log(np.array([[0.5, 0.5], [0.9, 0.1], [0.25, 0.75]], np.float32)),
)


def taught(spec: dict[str, Any], **distill: Any) -> dict[str, Any]:
    return spec | {"distill": {"ensemble": "teachers", **distill}}


def with_train(spec: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return spec | {"train": spec["train"] | changes}


# -- targets -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.9, 0.1]),
        ({"temperature": 2.0}, [0.75, 0.25]),  # odds of 9 to 1 are 3 to 1 at a temperature of two
        ({"temperature": 0.5}, [81 / 82, 1 / 82]),
        ({"weight": 0.25}, [0.225, 0.775]),
        ({"temperature": 2.0, "weight": 0.5}, [0.375, 0.625]),
        ({"temperature": 1e9}, [0.5, 0.5]),
    ],
)
def test_known_targets(options: dict[str, float], expected: list[float]) -> None:
    found = targets(np.log([[0.9, 0.1]]), np.array([[0.0, 1.0]]), **options)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [expected], rtol=1e-5)


@given(seed=st.integers(0, 10**6), temperature=st.floats(0.5, 20), weight=st.floats(0, 1))
def test_targets_share_one_and_cross_entropy_is_the_weighted_mean_of_two(
    seed: int, temperature: float, weight: float
) -> None:
    random = np.random.default_rng(seed)
    teacher, student = (scipy.special.log_softmax(random.normal(0, 3, (5, 4)), axis=1) for _ in range(2))
    one_hot = np.eye(4)[random.integers(0, 4, 5)]
    found = targets(teacher, one_hot, temperature=temperature, weight=weight)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    soft = scipy.special.softmax(teacher / temperature, axis=1)
    both = weight * -(soft * student).sum(axis=1) + (1 - weight) * -(one_hot * student).sum(axis=1)
    np.testing.assert_allclose(-(found * student).sum(axis=1), both, rtol=1e-4)


def test_a_class_that_the_ensemble_rules_out_has_no_target() -> None:
    with np.errstate(divide="ignore"):
        found = targets(np.log([[1.0, 0.0]]), np.array([[1.0, 0.0]]), temperature=3.0, weight=0.7)
    assert found.tolist() == [[1.0, 0.0]]


# -- files ---------------------------------------------------------------------------------------------------------------


def test_soft_labels_come_back_and_equal_ones_are_equal_files(tmp_path: Path) -> None:
    for name in ("one.npz", "two.npz"):
        save_soft_labels(tmp_path / name, LABELS)
    again = load_soft_labels(tmp_path / "one.npz")
    assert again.classes == LABELS.classes
    np.testing.assert_array_equal(again.sample_id, LABELS.sample_id)
    np.testing.assert_array_equal(again.log_prob, LABELS.log_prob)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert open_soft_labels(None) is None
    assert open_soft_labels([]) is None, "what Snakemake has in place of an input that is none"
    record_sums(tmp_path / "SHA256SUMS", [tmp_path / "one.npz"])
    opened = open_soft_labels(tmp_path / "one.npz")
    assert opened is not None and opened.classes == LABELS.classes
    save_soft_labels(tmp_path / "one.npz", LABELS._replace(classes=["a", "c"]))
    with pytest.raises(UserError, match="damaged"):
        open_soft_labels(tmp_path / "one.npz")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"sample_id": np.array(["x", "y", "x"])}, "names a sample twice"),
        ({"sample_id": np.arange(3)}, "ids must be text"),
        ({"log_prob": LABELS.log_prob.astype(np.float64)}, "probabilities float32; not <U1, float64"),
        ({"log_prob": LABELS.log_prob[:2]}, r"has ids \(3,\), probabilities \(2, 2\), and 2 classes"),
        ({"log_prob": LABELS.log_prob + np.float32(0.1)}, "not finite or do not sum to one"),
        ({"log_prob": np.full((3, 2), np.nan, np.float32)}, "not finite or do not sum to one"),
        ({"classes": ["a", "b", "c"]}, "and 3 classes"),
    ],
)
def test_soft_labels_that_fit_nothing_are_refused(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=text):
        save_soft_labels(tmp_path / "labels.npz", LABELS._replace(**change))


def test_another_file_is_no_file_of_soft_labels(tmp_path: Path) -> None:
    (tmp_path / "labels.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"labels\.npz: not a file of soft labels: "):
        load_soft_labels(tmp_path / "labels.npz")


def test_soft_labels_meet_training_images_on_their_ids() -> None:
    index = pd.DataFrame({"sample_id": list("wzyxv"), "label": [0, 1, 0, 1, 0], "class_name": list("ababa")})
    splits = pd.DataFrame({"sample_id": list("zyxwv"), "split": ["train"] * 3 + ["validation", "test"]}, dtype="str")
    data = gather(index, splits, [], LABELS)
    assert data.soft_labels is not None
    np.testing.assert_array_equal(data.soft_labels[[3, 2, 1]], LABELS.log_prob)
    assert np.isnan(data.soft_labels[[0, 4]]).all()
    assert gather(index, splits, []).soft_labels is None
    others = splits.assign(split=["train"] * 2 + ["validation", "train", "test"])
    with pytest.raises(UserError, match=r"^soft labels lack 1 of 3 training images, such as sample w$"):
        gather(index, others, [], LABELS)
    with pytest.raises(
        UserError, match=r"^soft labels are of other classes: \['a', 'c'\] there, and \['a', 'b'\] here$"
    ):
        gather(index, splits, [], LABELS._replace(classes=["a", "c"]))
    nothing = SoftLabels(["a", "b"], LABELS.sample_id[:0], LABELS.log_prob[:0])
    with pytest.raises(UserError, match="lack 2 of 2 training images"):
        in_rows(nothing, np.array(["p", "q"]), np.arange(2), ["a", "b"])


# -- training ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(keras: Any) -> Any:
    import graft.runs

    return graft.runs


def with_soft_labels(data: Data, log_prob: np.ndarray) -> Data:
    """``data`` with these labels (n, classes) of its training images."""
    known = np.full(log_prob.shape, np.nan, np.float32)
    known[data.rows["train"]] = log_prob[data.rows["train"]]
    return data._replace(soft_labels=known)


@pytest.fixture(scope="module")
def plain(digits: Callable[[int, int], Data]) -> Data:
    return digits(8, 200)


@pytest.fixture(scope="module")
def data(plain: Data) -> Data:
    """With labels of a teacher who is never sure."""
    logits = np.random.default_rng(0).normal(0, 1, (200, 10)) + 2 * np.eye(10)[plain.label]
    return with_soft_labels(plain, scipy.special.log_softmax(logits, axis=1).astype(np.float32))


def hard(label: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        found: np.ndarray = np.log(np.eye(10, dtype=np.float32)[label])
    return found


def bits(trained: Any) -> list[bytes]:
    return [weight.tobytes() for weight in trained.model.get_weights()]


def batch(runs: Any, data: Data, **train: Any) -> tuple[Any, ...]:
    """The first training batch as the network sees it."""
    rows = data.rows["train"][:12]
    return runs._training_change(TRAIN | train, data, 0)((data.inputs[0][rows],), data.label[rows], rows, 0, 0)


def test_an_ensemble_of_no_weight_teaches_what_true_labels_do(runs: Any, plain: Data, data: Data) -> None:
    of_none = runs.train_run(taught(SPEC, weight=0.0), data, 0)
    of_true = runs.train_run(taught(SPEC), with_soft_labels(plain, hard(plain.label)), 0)
    assert bits(of_none) == bits(of_true)
    without = runs.train_run(SPEC, plain, 0)
    for name in ("loss", "val_loss"):
        ours, theirs = ([row[name] for row in run.history] for run in (of_true, without))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_a_student_learns_what_its_teacher_says(runs: Any, plain: Data) -> None:
    says = (plain.label + 1) % 10
    student = with_soft_labels(plain, hard(says))
    run = runs.train_run(taught(with_train(SPEC, epochs=15)), student, 0)
    validation = runs.predict_run(run.network, student).splits["validation"]
    rows = student.rows["validation"]
    found = validation.log_prob.argmax(axis=1)
    assert (found == says[rows]).mean() > 0.7
    assert (found == plain.label[rows]).mean() < 0.1
    assert run.history[-1]["val_accuracy"] == pytest.approx((found == plain.label[rows]).mean(), abs=1e-6)
    assert run.history[-1]["val_loss"] == pytest.approx(log_loss(validation.log_prob, plain.label[rows]), rel=1e-4)


def test_labels_of_a_batch_are_the_targets_of_its_images(runs: Any, data: Data) -> None:
    rows = data.rows["train"][:12]
    options = {"temperature": 2.0, "weight": 0.9}
    images, labels = batch(runs, data, distill={"ensemble": "teachers", **options})
    np.testing.assert_array_equal(images, data.inputs[0][rows])
    assert data.soft_labels is not None
    expected = targets(data.soft_labels[rows], np.eye(10)[data.label[rows]], **options)
    np.testing.assert_array_equal(labels, expected)
    _, after = batch(runs, data, distill={"ensemble": "teachers", **options}, augment={"flip": True, "crop": 1})
    np.testing.assert_array_equal(after, expected)
    _, _, weights = batch(runs, data, distill={"ensemble": "teachers", **options}, class_weights={"3": 7.0})
    np.testing.assert_allclose(weights, 1 + 6 * expected[:, 3], rtol=1e-5)


@pytest.mark.parametrize("augment", [{"mixup": 1.0}, {"cutmix": 1.0}, {"mixup": 0.5, "cutmix": 1.0, "flip": True}])
def test_soft_labels_are_mixed_as_true_ones_are(runs: Any, plain: Data, data: Data, augment: dict[str, Any]) -> None:
    images, labels = batch(runs, plain, augment=augment)
    student = with_soft_labels(plain, hard(plain.label))
    same, soft = batch(runs, student, augment=augment, distill={"ensemble": "teachers"})
    np.testing.assert_array_equal(same, images)
    np.testing.assert_allclose(soft, labels, atol=1e-6)
    _, mixed = batch(runs, data, augment=augment, distill={"ensemble": "teachers"})
    np.testing.assert_allclose(mixed.sum(axis=1), 1, rtol=1e-5)
    assert mixed.max() < 1


def test_activations_are_taught_too(runs: Any, data: Data) -> None:
    stored = data._replace(inputs=[data.inputs[0].astype(np.float32)])
    _, labels = batch(runs, stored, distill={"ensemble": "teachers"}, augment={"mixup": 1.0})
    assert data.soft_labels is not None
    np.testing.assert_allclose(labels, np.exp(data.soft_labels[data.rows["train"][:12]]), rtol=1e-5)


def test_a_checkpoint_belongs_to_what_was_taught(runs: Any) -> None:
    keys = {
        runs.checkpoint_key(spec, seed)
        for spec in (SPEC, taught(SPEC), taught(SPEC, temperature=2.0), taught(SPEC, weight=0.5))
        for seed in (0, 1)
    }
    assert len(keys) == 8


def test_trials_are_taught_too_and_their_temperature_may_be_searched(runs: Any, data: Data) -> None:
    from graft.tuning.trials import train_trial

    space = {"distill.temperature": {"low": 1.0, "high": 8.0}}
    tune = {"metric": "val_loss", "seed": 0, "epochs": 1, "space": space}
    spec = taught(SPEC, temperature=1.0, weight=1.0)
    trials = [train_trial(chosen_spec(spec, space, {"distill.temperature": t}), data, tune) for t in (1.0, 8.0)]
    (one, _), (other, _) = trials
    assert bits(other) == bits(runs.train_run(taught(SPEC, temperature=8.0), data, 0, epochs=1)) != bits(one)


# -- a study -------------------------------------------------------------------------------------------------------------


def test_a_study_names_the_teachers_and_how_much_they_count(study: dict[str, Any]) -> None:
    study["ensembles"]["teachers"] = {"method": "soft_vote", "members": ["probe"]}
    before = Study.model_validate(study).models["small"].trained
    study["models"]["small"]["distill"] = {"ensemble": "teachers", "temperature": 2}
    read = Study.model_validate(study).models
    assert "distill" not in before
    assert read["small"].trained == before | {"distill": {"ensemble": "teachers", "temperature": 2.0, "weight": 1.0}}
    frozen = Study.model_validate(study).models["probe"].frozen_part
    study["models"]["probe"]["distill"] = {"ensemble": "pair"}
    study["ensembles"] = {"pair": {"method": "soft_vote", "members": ["small"]}}
    del study["models"]["small"]["distill"]
    probe = Study.model_validate(study).models["probe"]
    assert probe.frozen_part == frozen, "activations of a frozen part do not depend on labels"


@pytest.mark.parametrize(
    ("distill", "train", "text"),
    [
        ({"temperature": 0}, {}, "models.small.distill.temperature: "),
        ({"weight": 1.5}, {}, "models.small.distill.weight: "),
        ({"alpha": 0.5}, {}, "models.small.distill.alpha: "),
        (
            {},
            {"label_smoothing": 0.1},
            "models.small.train.label_smoothing: softens labels that distill softens already",
        ),
    ],
)
def test_what_cannot_be_taught_is_refused(
    study: dict[str, Any], complaints: Any, distill: dict[str, Any], train: dict[str, Any], text: str
) -> None:
    study["ensembles"]["teachers"] = {"method": "soft_vote", "members": ["probe"]}
    study["models"]["small"] |= {"distill": {"ensemble": "teachers", **distill}}
    study["models"]["small"]["train"] |= train
    assert any(line.startswith(text) for line in complaints(study)), complaints(study)


@pytest.mark.parametrize(
    ("path", "dimension", "problem"),
    [
        ("distill.temperature", {"low": 1.0, "high": 8.0}, None),
        ("distill.weight", {"choices": [0.5, 1.0]}, None),
        ("distill.ensemble", {"choices": ["teachers", "others"]}, "changes what a trial reads"),
    ],
)
def test_what_of_it_can_be_searched(
    study: dict[str, Any], complaints: Any, read: Any, path: str, dimension: dict[str, Any], problem: str | None
) -> None:
    study["ensembles"] = {name: {"method": "soft_vote", "members": ["probe"]} for name in ("teachers", "others")}
    study["models"]["tuned"] |= {"distill": {"ensemble": "teachers"}}
    study["models"]["tuned"]["tune"]["space"] = {path: dimension}
    if problem:
        assert any(problem in line for line in complaints(study))
    else:
        assert path in read(study).models["tuned"].tune.space


# -- the job -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def job(keras: Any, plain: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """All that the job reads: an ensemble of two networks of other sizes, prepared images, index and splits."""
    from graft.finetune import build_network
    from graft.runs import predict_run

    keras.utils.set_random_seed(0)
    members, images, predictions = [], [], []
    for size in (8, 12):
        inputs = (
            np.repeat(np.repeat(plain.inputs[0], 2, axis=1), 2, axis=2)[:, 2:14, 2:14]
            if size == 12
            else plain.inputs[0]
        )
        folder = tmp_path / f"{size}px"
        folder.mkdir()
        np.save(folder / "images.npy", inputs)
        record_sums(folder / "SHA256SUMS", [folder / "images.npy"])
        images.append(str(folder / "SHA256SUMS"))
        network = build_network("mnist_mlp", size, 10)
        run = tmp_path / f"run{size}"
        run.mkdir()
        network.save(run / "model.keras")
        # Predictions of the training images too, as the job has to find them.
        every = plain._replace(
            inputs=[inputs], rows={"validation": plain.rows["validation"], "test": plain.rows["train"]}
        )
        predictions.append(predict_run(network, every).splits["test"].log_prob)
        save_predictions(run / "predictions.npz", predict_run(network, plain._replace(inputs=[inputs])))
        record_sums(run / "SHA256SUMS", [run / "model.keras", run / "predictions.npz"])
        members.append(
            {"member": f"mlp{size}", "kind": "run", "image_size": size}
            | {
                key: [f"../run{size}/{name}"]
                for key, name in (("networks", "model.keras"), ("predictions", "predictions.npz"))
            }
        )
    described = {"method": {"name": "soft_vote"}, "classes": plain.classes, "members": members}
    described["preparation"] = {"resize": "squash", "interpolation": "bicubic"}
    (tmp_path / "ensemble").mkdir()
    write_json(tmp_path / "ensemble/ensemble.json", described)
    record_sums(tmp_path / "ensemble/SHA256SUMS", [tmp_path / "ensemble/ensemble.json"])
    split = np.empty(200, dtype="<U10")
    for name, rows in plain.rows.items():
        split[rows] = name
    tables = {
        "index": {"label": plain.label, "class_name": [plain.classes[k] for k in plain.label]},
        "splits": {"split": split},
    }
    for name, columns in tables.items():
        pd.DataFrame({"sample_id": plain.sample_id, **columns}).to_parquet(tmp_path / f"{name}.parquet")
        record_sums(tmp_path / f"{name}.sha256", [tmp_path / f"{name}.parquet"])
    monkeypatch.setattr("graft.backends.start_backend", lambda *_, **options: None)
    (tmp_path / "out").mkdir()
    return SimpleNamespace(
        rule="label_images",
        wildcards=[],
        log=[str(tmp_path / "log")],
        input=SimpleNamespace(
            ensemble=str(tmp_path / "ensemble/ensemble.json"),
            images=images,
            **{name: str(tmp_path / f"{name}.parquet") for name in tables},
        ),
        params=SimpleNamespace(sizes=[8, 12], compute={"backend": "tensorflow", "threads": 1, "deterministic": True}),
        output=SimpleNamespace(
            soft_labels=str(tmp_path / "out/soft_labels.npz"),
            runtime=str(tmp_path / "out/runtime.json"),
            sums=str(tmp_path / "out/SHA256SUMS"),
        ),
        expected=np.mean(np.exp(predictions), axis=0),
    )


def test_the_job_labels_every_training_image_as_the_ensemble_does(job: SimpleNamespace, plain: Data) -> None:
    runpy.run_path(str(ROOT / "scripts/label_images.py"), {"snakemake": job})
    labels = open_soft_labels(job.output.soft_labels)
    assert labels is not None
    assert labels.classes == plain.classes
    assert labels.sample_id.tolist() == plain.sample_id[plain.rows["train"]].tolist()
    np.testing.assert_allclose(np.exp(labels.log_prob), job.expected, atol=1e-5)
