import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from graft.errors import UserError
from graft.predictions import Predictions, SplitPredictions, align, load_predictions, log_softmax, save_predictions

IDS = {"validation": ["v1", "v2"], "test": ["t1", "t2", "t3"]}
LABELS = {"validation": [0, 1], "test": [2, 0, 1]}
PROBABILITIES = {
    "validation": [[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]],
    "test": [[0.2, 0.2, 0.6], [1.0, 0.0, 0.0], [0.0, 0.5, 0.5]],
}


def of(probabilities: dict[str, Any] = PROBABILITIES, **changes: Any) -> Predictions:
    with np.errstate(divide="ignore"):
        splits = {
            name: SplitPredictions(
                np.array(IDS[name]), np.array(LABELS[name]), np.log(np.array(probabilities[name], dtype=np.float32))
            )
            for name in IDS
        }
    if changes:
        splits["test"] = splits["test"]._replace(**changes)
    return Predictions(["a", "b", "ç"], splits)


def assert_equal(one: Predictions, two: Predictions) -> None:
    assert one.classes == two.classes
    assert list(one.splits) == list(two.splits)
    for name in one.splits:
        for ours, theirs in zip(one.splits[name], two.splits[name], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    save_predictions(tmp_path / "p.npz", of())
    loaded = load_predictions(tmp_path / "p.npz")
    assert_equal(loaded, of())
    assert loaded.splits["test"].log_prob.dtype == np.float32
    assert loaded.splits["test"].log_prob[1].tolist() == [0.0, -np.inf, -np.inf]


def test_equal_predictions_give_equal_files(tmp_path: Path) -> None:
    save_predictions(tmp_path / "a.npz", of())
    save_predictions(tmp_path / "b.npz", of())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_file_holds_what_its_module_says(tmp_path: Path) -> None:
    save_predictions(tmp_path / "p.npz", of())
    with np.load(tmp_path / "p.npz") as arrays:
        fields = ("sample_id", "label", "log_prob")
        assert set(arrays) == {"classes", *(f"{split}_{field}" for split in IDS for field in fields)}


LOG_HALF = np.log(np.full((3, 3), 1 / 3, dtype=np.float32))
WRONG = {
    "too few labels": ({"label": np.array([0, 1])}, "the test split has ids (3,), labels (2,), probabilities (3, 3)"),
    "too few classes": (
        {"log_prob": LOG_HALF[:, :2]},
        "the test split has ids (3,), labels (3,), probabilities (3, 2)",
    ),
    "flat probabilities": (
        {"log_prob": LOG_HALF[0]},
        "the test split has ids (3,), labels (3,), probabilities (3,)",
    ),
    "ids in a table": (
        {"sample_id": np.array([["t1"], ["t2"], ["t3"]])},
        "the test split has ids (3, 1), labels (3,), probabilities (3, 3)",
    ),
    "one id": ({"sample_id": np.array("t1")}, "the test split has ids (), labels (3,), probabilities (3, 3)"),
    "a sample twice": ({"sample_id": np.array(["t1", "t2", "t1"])}, "the test split names a sample twice"),
    "label too high": (
        {"label": np.array([0, 1, 3])},
        "the test split has a label that is none of the 3 classes",
    ),
    "label too low": (
        {"label": np.array([0, 1, -1])},
        "the test split has a label that is none of the 3 classes",
    ),
    "labels of the wrong type": (
        {"label": np.array([0.0, 1.0, 2.0])},
        "ids, labels and probabilities of the test split must be text, int, float; not <U2, float64, float32",
    ),
    "ids of the wrong type": (
        {"sample_id": np.array([1, 2, 3])},
        "ids, labels and probabilities of the test split must be text, int, float; not int64, int64, float32",
    ),
    "not a number": (
        {"log_prob": np.where([[1, 0, 0]] * 3, np.nan, LOG_HALF)},
        "probabilities of the test split are not finite or do not sum to one",
    ),
    "infinite": (
        {"log_prob": np.where([[1, 0, 0]] * 3, np.inf, LOG_HALF)},
        "probabilities of the test split are not finite or do not sum to one",
    ),
    "all ruled out": (
        {"log_prob": np.full((3, 3), -np.inf)},
        "probabilities of the test split are not finite or do not sum to one",
    ),
    "logits": (
        {"log_prob": np.ones((3, 3))},
        "probabilities of the test split are not finite or do not sum to one",
    ),
    "probabilities": (
        {"log_prob": np.full((3, 3), 1 / 3)},
        "probabilities of the test split are not finite or do not sum to one",
    ),
}


def write_unchecked(path: Path, predictions: Predictions) -> None:
    arrays = {
        f"{split}_{field}": value
        for split, data in predictions.splits.items()
        for field, value in data._asdict().items()
    }
    np.savez(path, classes=np.array(predictions.classes), **arrays)


@pytest.mark.parametrize(("changes", "text"), WRONG.values(), ids=WRONG)
def test_wrong_predictions_are_neither_saved_nor_loaded(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    path = tmp_path / "p.npz"
    with pytest.raises(UserError) as error:
        save_predictions(path, of(**changes))
    assert str(error.value) == f"{path}: {text}"
    assert not path.exists()
    write_unchecked(path, of(**changes))
    with pytest.raises(UserError) as error:
        load_predictions(path)
    assert str(error.value) == f"{path}: {text}"


class Trap:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("field", ["classes", "test_sample_id", "test_log_prob"])
def test_no_pickle_is_run(tmp_path: Path, field: str) -> None:
    marker, path = tmp_path / "ran", tmp_path / "p.npz"
    save_predictions(path, of())
    with np.load(path) as arrays:
        content = dict(arrays)
    np.savez(path, **content | {field: np.array([Trap(marker)], dtype=object)})
    with pytest.raises(UserError, match="not a predictions file: Object arrays cannot be loaded"):
        load_predictions(path)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Trap(marker)))
    assert marker.exists()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    {
        "empty": b"",
        "text": b"log_prob,label\n",
        "a pickle": pickle.dumps({"classes": ["a"]}),
        "one array": npy(np.zeros(3)),
        "a zip's beginning": b"PK\x03\x04",
    }.items(),
    ids=lambda item: item[0],
)
def test_another_kind_of_file_is_named(tmp_path: Path, content: tuple[str, bytes]) -> None:
    (tmp_path / "p.npz").write_bytes(content[1])
    with pytest.raises(UserError, match=r"p\.npz: not a predictions file: "):
        load_predictions(tmp_path / "p.npz")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.npz: not a predictions file: .*No such file"):
        load_predictions(tmp_path / "absent.npz")


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    save_predictions(tmp_path / "p.npz", Predictions(["a", "b", "ç"], {"validation": of().splits["validation"]}))
    with pytest.raises(UserError, match=r"not a predictions file: .*test_sample_id"):
        load_predictions(tmp_path / "p.npz")


@given(position=st.integers(0, 2000), change=st.integers(1, 255), length=st.integers(0, 2000))
def test_a_damaged_file_is_refused_or_says_what_it_said(
    tmp_path: Path, position: int, change: int, length: int
) -> None:
    path = tmp_path / "p.npz"
    save_predictions(path, of())
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= change
    path.write_bytes(bytes(content[: len(content) - length]) if length < 500 else bytes(content))
    try:
        loaded = load_predictions(path)
    except UserError as error:
        assert str(path) in str(error)
    else:
        assert loaded.splits.keys() == IDS.keys()


@given(hnp.arrays(np.float32, (4, 3), elements=st.floats(-(2**100), 2**100, width=32)))
def test_log_softmax_is_scipys(logits: np.ndarray) -> None:
    ours = log_softmax(logits)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, scipy.special.log_softmax(logits.astype(np.float64), axis=1), rtol=1e-6, atol=1e-6)


def test_probabilities_of_extreme_logits_still_sum_to_one() -> None:
    ours = log_softmax(np.array([[1e38, 0, -1e38], [-1e38, -1e38, -1e38]], dtype=np.float32))
    np.testing.assert_allclose(np.exp(ours.astype(np.float64)).sum(axis=1), 1, rtol=1e-6)


# -- align ---------------------------------------------------------------------------------------------------------------


def reordered(predictions: Predictions, order: list[int]) -> Predictions:
    test = SplitPredictions(*(array[order] for array in predictions.splits["test"]))
    return predictions._replace(splits={**predictions.splits, "test": test})


OTHER = {"validation": [[0.2, 0.3, 0.5], [0.3, 0.3, 0.4]], "test": [[0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [0.6, 0.2, 0.2]]}


def test_members_are_stacked_in_the_order_of_the_first() -> None:
    aligned = align({"one": of(), "two": reordered(of(OTHER), [2, 0, 1])})
    assert aligned.classes == ["a", "b", "ç"]
    assert aligned.splits["test"].sample_id.tolist() == IDS["test"]
    assert aligned.splits["test"].label.tolist() == LABELS["test"]
    np.testing.assert_allclose(
        np.exp(aligned.splits["test"].log_prob), [PROBABILITIES["test"], OTHER["test"]], atol=1e-6
    )
    assert aligned.splits["validation"].log_prob.shape == (2, 2, 3)


@given(st.permutations(range(3)), st.permutations(range(3)))
def test_whatever_the_order_rows_meet_on_their_sample(first: list[int], second: list[int]) -> None:
    aligned = align({"one": reordered(of(), first), "two": reordered(of(OTHER), second)})
    by_id = dict(zip(IDS["test"], OTHER["test"], strict=True))
    assert aligned.splits["test"].sample_id.tolist() == [IDS["test"][k] for k in first]
    np.testing.assert_allclose(
        np.exp(aligned.splits["test"].log_prob[1]),
        [by_id[name] for name in aligned.splits["test"].sample_id],
        atol=1e-6,
    )


def with_classes(predictions: Predictions) -> Predictions:
    return predictions._replace(classes=["a", "b", "c"])


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (with_classes, "their classes differ: ['a', 'b', 'ç'] and ['a', 'b', 'c']"),
        (lambda p: reordered(p, [0, 1]), "digits/small/0 has t3, which digits/probe/1 has not, in the test split"),
        (
            lambda p: p._replace(splits={**p.splits, "test": p.splits["test"]._replace(sample_id=np.array(["t1", "t2", "t4"]))}),
            "digits/small/0 has t3, which digits/probe/1 has not, in the test split",
        ),
        (
            lambda p: p._replace(splits={**p.splits, "test": p.splits["test"]._replace(label=np.array([2, 0, 0]))}),
            "they disagree on the label of t3 in the test split",
        ),
    ],
)  # fmt: skip
def test_members_that_do_not_fit_are_both_named(spoil: Callable[[Predictions], Predictions], text: str) -> None:
    members = {"digits/small/0": of(), "digits/same/0": of(), "digits/probe/1": spoil(of(OTHER))}
    with pytest.raises(UserError) as error:
        align(members)
    assert str(error.value) == f"digits/small/0 and digits/probe/1 cannot be combined: {text}"
