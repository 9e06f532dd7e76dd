"""A finished ensemble says of image files what it said of the same images in the study."""

import os
import shutil
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from graft.arrays import Data
from graft.embeddings import Embeddings, embed, penultimate
from graft.ensembles import Combined, combine
from graft.ensembles.temperature import scaled
from graft.errors import UserError
from graft.files import read_json, record_sums, write_json
from graft.images import decode, resize
from graft.labelling import Ensemble, _load, check_classes, labeller, read_ensemble
from graft.members import describe_ensemble, merge_folds
from graft.predict import find_images, label_files
from graft.predictions import Predictions, load_predictions, save_predictions
from graft.registry import parts

COUNT = 200
PREPARATION = {"resize": "squash", "interpolation": "bicubic"}
TRAIN = {"batch_size": 32, "optimizer": {"name": "adam"}, "learning_rate": 1e-2, "schedule": {"name": "constant"}}
SPECS = {
    "mlp": {"architecture": "mnist_mlp", "image_size": 8, "train": TRAIN | {"epochs": 20}},
    "poor": {"architecture": "mnist_mlp", "image_size": 8, "train": TRAIN | {"epochs": 8}},
    "cnn": {"architecture": "simcnn", "image_size": 18, "train": TRAIN | {"epochs": 4}, "test_time": ["flip"]},
}


class Study(NamedTuple):
    """A folder with a finished run of each model, each folder with its network and predictions; and the images."""

    folder: Path
    images: list[Path]
    rows: Mapping[str, np.ndarray]

    def predictions(self, name: str) -> Predictions:
        return load_predictions(self.folder / name / "predictions.npz")

    def of(self, split: str) -> list[Path]:
        return [self.images[row] for row in self.rows[split]]


@pytest.fixture(scope="module")
def finished(keras: Any, digits: Callable[[int, int], Data], tmp_path_factory: pytest.TempPathFactory) -> Study:
    from graft.runs import predict_run, train_run

    folder = tmp_path_factory.mktemp("study")
    for seed, (name, spec) in enumerate(SPECS.items()):
        data = digits(spec["image_size"], COUNT)
        trained = train_run(spec, data, seed)
        (folder / name).mkdir()
        trained.model.save(folder / name / "model.keras")
        save_predictions(
            folder / name / "predictions.npz", predict_run(trained.network, data, spec.get("test_time", ()))
        )
        record_sums(folder / name / "SHA256SUMS", [folder / name / f for f in ("model.keras", "predictions.npz")])
    images = []
    (folder / "images").mkdir()
    for k, grey in enumerate(load_digits().images[:COUNT]):
        images.append(folder / f"images/{k:03}.png")
        Image.fromarray(np.round(grey * (255 / 16)).astype(np.uint8)).save(images[-1])
    return Study(folder, images, data.rows)


def facts_of(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "member": name,
        "kind": "run",
        "dataset": "digits",
        "model": name,
        "seed": 0,
        "image_size": SPECS[name]["image_size"] if name in SPECS else 8,
        **({"test_time": ["flip"]} if "test_time" in SPECS.get(name, {}) else {}),
        "networks": [f"../{name}/model.keras"],
        "predictions": [f"../{name}/predictions.npz"],
        **changes,
    }


def write(
    study: Study, combined: Combined, members: list[dict[str, Any]], method: Mapping[str, Any], **more: Any
) -> Path:
    """An ensemble's folder in the study as a job leaves it."""
    folder = study.folder / "ensemble"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    save_predictions(folder / "predictions.npz", combined.predictions)
    described = describe_ensemble(members, combined, {}, method=method, preparation=PREPARATION, **more)
    write_json(folder / "ensemble.json", described)
    record_sums(folder / "SHA256SUMS", [folder / "predictions.npz", folder / "ensemble.json"])
    return folder / "ensemble.json"


def ensemble_of(study: Study, names: list[str], method: Mapping[str, Any], temperature: bool = False) -> Path:
    combined = combine({name: study.predictions(name) for name in names}, method, temperature)
    return write(study, combined, [facts_of(name) for name in names], method)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each network is loaded once for all tests that use this."""
    monkeypatch.setattr("graft.labelling._load", _load_once)


@cache
def _load_once(path: Path, size: int) -> Any:
    return _load(path, size)


def said(path: Path, images: list[Path], batch_size: int = 40) -> np.ndarray:
    ensemble = read_ensemble(path)
    (part,) = label_files(ensemble, labeller(ensemble, batch_size), images)
    assert part.paths == images
    assert part.unreadable == {}
    assert part.log_prob.dtype == np.float32
    return np.exp(part.log_prob)


def assert_says_as_in_the_study(study: Study, path: Path, splits: tuple[str, ...] = ("validation", "test")) -> None:
    expected = load_predictions(path.with_name("predictions.npz"))
    theirs = np.exp(np.concatenate([expected.splits[split].log_prob for split in splits]))
    assert np.ptp(theirs) > 0.5
    ours = said(path, [image for split in splits for image in study.of(split)], batch_size=40)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


# -- methods -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "temperature"),
    [
        ({"name": "soft_vote"}, False),
        ({"name": "soft_vote", "mean": "geometric"}, True),
        ({"name": "hard_vote"}, False),
        ({"name": "greedy", "bags": 3, "rounds": 5}, True),
        ({"name": "stacking", "folds": 2}, True),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
@pytest.mark.usefixtures("kept")
def test_images_of_the_study_get_its_predictions(finished: Study, method: dict[str, Any], temperature: bool) -> None:
    path = ensemble_of(finished, list(SPECS), method, temperature)
    assert_says_as_in_the_study(finished, path)


@pytest.mark.usefixtures("kept")
def test_an_ensemble_of_one_member_is_that_model(finished: Study) -> None:
    path = ensemble_of(finished, ["cnn"], {"name": "soft_vote"})
    theirs = finished.predictions("cnn").splits["test"].log_prob
    np.testing.assert_allclose(said(path, finished.of("test")), np.exp(theirs), atol=1e-5)


@pytest.mark.usefixtures("kept")
def test_networks_of_folds_are_averaged(finished: Study) -> None:
    whole = {name: finished.predictions(name) for name in ("mlp", "poor")}
    halves = {}
    for name, half in (("mlp", slice(None, 20)), ("poor", slice(20, None))):
        split = whole[name].splits["validation"]
        held_out = type(split)(*(array[half] for array in split))
        halves[name] = whole[name]._replace(splits={**whole[name].splits, "validation": held_out})
        (finished.folder / f"half_{name}").mkdir(exist_ok=True)
        save_predictions(finished.folder / f"half_{name}/predictions.npz", halves[name])
        record_sums(finished.folder / f"half_{name}/SHA256SUMS", [finished.folder / f"half_{name}/predictions.npz"])
    folds = merge_folds(halves)
    others = {key: [f"../{prefix}{name}/{file}" for name in halves] for key, prefix, file in (
        ("networks", "", "model.keras"), ("predictions", "half_", "predictions.npz"))}  # fmt: skip
    member = facts_of("folds", kind="folds", **others)
    path = write(finished, combine({"folds": folds}, {"name": "soft_vote"}, True), [member], {"name": "soft_vote"})
    assert_says_as_in_the_study(finished, path, ("test",))


def test_a_member_of_no_weight_is_not_asked(finished: Study) -> None:
    method = {"name": "greedy", "rounds": 1, "bags": 1, "share": 1.0}
    combined = combine({name: finished.predictions(name) for name in ("mlp", "poor")}, method)
    assert combined.weights == [1, 0]
    path = write(finished, combined, [facts_of("mlp"), facts_of("poor", networks=["../gone.keras"])], method)
    assert_says_as_in_the_study(finished, path)
    with pytest.raises(UserError, match=r"gone\.keras: missing"):
        said(
            write(finished, combined, [facts_of("mlp", networks=["../gone.keras"]), facts_of("poor")], method),
            finished.images,
        )


def test_a_concatenation_has_its_head_beside_it(finished: Study, keras: Any) -> None:
    from graft.ensembles.concat import concatenate, save_head

    method = {"name": "concat", "C": 1e-2}
    members, rows = {}, np.arange(COUNT)
    ids = np.array([path.stem for path in finished.images])
    for name in ("mlp", "cnn"):
        network = penultimate(keras.saving.load_model(finished.folder / name / "model.keras"))
        images = np.stack([resize(decode(path.read_bytes()), SPECS[name]["image_size"]) for path in finished.images])
        members[name] = Embeddings(ids, embed(network, images, rows))
    data = Data([], load_digits().target[:COUNT], ids, finished.rows, [str(k) for k in range(10)])
    combined, head = concatenate(members, data, method, True)
    path = write(finished, combined, [facts_of("mlp"), facts_of("cnn")], method)
    save_head(path.with_name("head.npz"), head)
    record_sums(path.with_name("SHA256SUMS"), [path, path.with_name("head.npz"), path.with_name("predictions.npz")])
    assert_says_as_in_the_study(finished, path)


@pytest.mark.skipif(
    "weight_average" not in parts("graft.ensembles"), reason="no method of this project averages weights"
)
def test_averaged_weights_are_one_network(finished: Study) -> None:
    predictions = finished.predictions("mlp")
    splits = {k: split._replace(log_prob=scaled(split.log_prob, 2.0)) for k, split in predictions.splits.items()}
    combined = Combined(Predictions(predictions.classes, splits), [0.5, 0.5], {}, 2.0)
    members = [facts_of("poor"), facts_of("poor", member="poorer")]
    method = {"name": "weight_average"}
    path = write(finished, combined, members, method, networks=["../mlp/model.keras"])
    assert_says_as_in_the_study(finished, path)


# -- images --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["squash", "crop", "pad"])
def test_images_are_resized_as_those_of_the_study(finished: Study, tmp_path: Path, how: str) -> None:
    path = ensemble_of(finished, ["mlp"], {"name": "soft_vote"})
    preparation = {"resize": how, "interpolation": "bilinear"}
    ensemble = read_ensemble(path)._replace(preparation=preparation)
    Image.open(finished.images[3]).resize((60, 31)).save(tmp_path / "wide.jpg")
    seen: list[np.ndarray] = []

    def spy(images: Any, rows: np.ndarray) -> np.ndarray:
        seen.append(np.array(images(8)[rows]))
        return np.zeros((len(rows), 10), np.float32)

    list(label_files(ensemble, spy, [tmp_path / "wide.jpg"]))
    expected = resize(decode((tmp_path / "wide.jpg").read_bytes()), 8, how, "bilinear")
    np.testing.assert_array_equal(seen[0][0], expected)


@pytest.mark.usefixtures("kept")
def test_many_images_are_labelled_in_parts(finished: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = read_ensemble(ensemble_of(finished, ["mlp"], {"name": "soft_vote"}))
    (whole,) = label_files(ensemble, labeller(ensemble), finished.images[:10])
    monkeypatch.setattr("graft.predict.MOST", 4)
    parts_of = list(label_files(ensemble, labeller(ensemble), finished.images[:10]))
    assert [len(part.paths) for part in parts_of] == [4, 4, 2]
    np.testing.assert_allclose(np.concatenate([part.log_prob for part in parts_of]), whole.log_prob, atol=1e-5)


@pytest.mark.usefixtures("kept")
def test_what_is_no_image_is_named_and_stops_no_other(finished: Study, tmp_path: Path) -> None:
    ensemble = read_ensemble(ensemble_of(finished, ["mlp"], {"name": "soft_vote"}))
    good = finished.images[0].read_bytes()
    contents = {"empty.png": b"", "text.png": b"no image", "half.png": good[: len(good) // 2], "pipe.png": None}
    # The header of a PNG of 20,000 x 20,000 pixels.
    header = good[12:16] + (20_000).to_bytes(4, "big") * 2 + good[24:29]
    contents["large.png"] = good[:12] + header + zlib.crc32(header).to_bytes(4, "big") + good[33:]
    for name, content in contents.items():
        if content is None:
            os.mkfifo(tmp_path / name)
        else:
            (tmp_path / name).write_bytes(content)
    bad = [tmp_path / name for name in contents]
    part, *none = label_files(ensemble, labeller(ensemble), [bad[0], finished.images[0], *bad[1:], finished.images[1]])
    assert not none
    assert part.paths == finished.images[:2]
    assert part.log_prob.shape == (2, 10)
    reasons = {path.name: reason for path, reason in part.unreadable.items()}
    assert list(reasons) == list(contents)
    assert reasons["empty.png"] == "is empty (0 bytes)"
    assert reasons["text.png"].startswith("is not an image")
    assert reasons["half.png"].startswith("is damaged")
    assert reasons["pipe.png"] == "is no file"
    assert "100,000,000" in reasons["large.png"]
    (part,) = label_files(ensemble, labeller(ensemble), bad[:2])
    assert part.log_prob.shape == (0, 10)


def test_folders_stand_for_the_images_in_them(tmp_path: Path) -> None:
    names = ["b/2.png", "b/1.JPG", "a/c/3.webp", "notes.txt", ".hidden/4.png", "b/.5.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "loop").symlink_to(tmp_path)
    inside = [tmp_path / name for name in ("a/c/3.webp", "b/1.JPG", "b/2.png")]
    assert find_images([tmp_path]) == inside
    assert find_images([tmp_path / "b/2.png", tmp_path, tmp_path / "notes.txt"]) == [
        inside[2], *inside[:2], tmp_path / "notes.txt"
    ]  # fmt: skip
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: no images in it, files that end in \.jpg, "):
        find_images([tmp_path, tmp_path / "empty"])
    with pytest.raises(UserError, match=r"gone\.png: no such file or folder$"):
        find_images([tmp_path / "gone.png"])


# -- what is wrong -------------------------------------------------------------------------------------------------------


def one_line(error: pytest.ExceptionInfo[UserError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"members": []}, "does not say list index out of range"),
        ({"classes": None}, "does not say 'classes', so it is no ensemble.json of this version; name "),
        ({"kind": "trial", "networks": []}, "mlp (trial) has no network that is kept, so this ensemble cannot label"),
    ],
)
def test_an_ensemble_that_labels_nothing_says_why(finished: Study, change: dict[str, Any], text: str) -> None:
    path = ensemble_of(finished, ["mlp"], {"name": "soft_vote"})
    described = read_json(path)
    if "kind" in change:
        described["members"][0] |= change
    elif "members" in change:
        described |= change | {"networks": ["model.keras"]}
    else:
        del described["classes"]
    write_json(path, described)
    record_sums(path.with_name("SHA256SUMS"), [path])
    with pytest.raises(UserError) as error:
        read_ensemble(path)
    assert one_line(error).startswith(f"{path}: {text}")


def test_other_files_are_no_ensembles(finished: Study, tmp_path: Path) -> None:
    for path, what in (
        (finished.folder / "mlp/model.keras", "another kind of file"),
        (tmp_path / "a.json", "no such file"),
    ):
        with pytest.raises(UserError) as error:
            read_ensemble(path)
        assert one_line(error).startswith(f"{path}: {what}; name the ensemble.json of a finished ensemble")
    path = ensemble_of(finished, ["mlp"], {"name": "soft_vote"})
    path.write_text(path.read_text() + " ")
    with pytest.raises(UserError, match="damaged"):
        read_ensemble(path)


@pytest.mark.parametrize(
    ("content", "sums", "text"),
    [
        (b"PK no zip", True, "Keras cannot load this network"),
        (b"PK no zip", False, "damaged: its sha256"),
    ],
)
def test_a_damaged_network_is_named(finished: Study, content: bytes, sums: bool, text: str) -> None:
    path = ensemble_of(finished, ["mlp"], {"name": "soft_vote"})
    folder = finished.folder / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(finished.folder / "mlp", folder)
    (folder / "model.keras").write_bytes(content)
    if sums:
        record_sums(folder / "SHA256SUMS", [folder / "model.keras"])
    ensemble = read_ensemble(path)
    ensemble = ensemble._replace(members=[ensemble.members[0]._replace(networks=[folder / "model.keras"])])
    with pytest.raises(UserError) as error:
        list(label_files(ensemble, labeller(ensemble), finished.images[:2]))
    assert text in one_line(error)


def test_a_network_of_another_size_is_named(finished: Study) -> None:
    ensemble = read_ensemble(ensemble_of(finished, ["mlp"], {"name": "soft_vote"}))
    ensemble = ensemble._replace(members=[ensemble.members[0]._replace(image_size=9)])
    with pytest.raises(UserError, match=r"model\.keras: sees images of \(8, 8, 3\), and its ensemble says 9 pixels$"):
        list(label_files(ensemble, labeller(ensemble), finished.images[:2]))


def test_classes_are_compared(finished: Study) -> None:
    ensemble: Ensemble = read_ensemble(ensemble_of(finished, ["mlp"], {"name": "soft_vote"}))
    check_classes(ensemble, ensemble.classes)
    with pytest.raises(UserError, match=r"of classes .*, and the images are of "):
        check_classes(ensemble, ensemble.classes[::-1])
