import json
import runpy
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as their_log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from graft.arrays import Data
from graft.embeddings import Embeddings, save_embeddings
from graft.ensembles.concat import ARRAYS, STRENGTHS, TOLERANCE, Head, concat, concatenate, load_head, save_head
from graft.ensembles.temperature import best_temperature, scaled
from graft.errors import UserError
from graft.files import read_csv, read_json, record_sums
from graft.metrics import log_loss
from graft.predictions import load_predictions
from graft.registry import parts

SCRIPT = Path(__file__).resolve().parents[3] / "scripts/concat_ensemble.py"
TRAIN, VALIDATION, TEST = np.split(np.arange(700), [300, 500])
SPLITS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


@pytest.fixture(scope="module")
def label() -> np.ndarray:
    found: np.ndarray = load_digits().target[:700]
    return found


@pytest.fixture(scope="module")
def members() -> list[np.ndarray]:
    """What two eyes make of digits: one sees their upper half, 32 pixels; one 12 principal components of the lower one."""
    images = load_digits().data[:700].astype(np.float32)
    upper, lower = images[:, :32], images[:, 32:]
    return [upper, PCA(12, random_state=0).fit(lower[TRAIN]).transform(lower).astype(np.float32)]


def pipeline(strength: float) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, tol=TOLERANCE, max_iter=1000))


def exp(log_prob: np.ndarray) -> np.ndarray:
    return np.exp(log_prob.astype(np.float64))


# -- the head ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("used", [[0], [1], [0, 1]], ids=["one", "the other", "both"])
def test_it_is_scikit_learns_pipeline_at_the_strength_of_least_validation_loss(
    members: list[np.ndarray], label: np.ndarray, used: list[int]
) -> None:
    chosen = [members[k] for k in used]
    side_by_side = np.hstack(chosen)
    head = concat(chosen, label, TRAIN, VALIDATION)
    fitted = {strength: pipeline(strength).fit(side_by_side[TRAIN], label[TRAIN]) for strength in STRENGTHS}
    losses = {
        strength: their_log_loss(label[VALIDATION], model.predict_proba(side_by_side[VALIDATION]))
        for strength, model in fitted.items()
    }
    best = min(losses, key=lambda strength: losses[strength])
    assert STRENGTHS[0] < best < STRENGTHS[-1]
    assert head.facts["C"] == best
    assert head.facts["validation_log_loss"] == pytest.approx(losses[best], abs=1e-5)
    ours = head.apply([member[TEST] for member in chosen])
    assert ours.dtype == np.float32
    np.testing.assert_allclose(exp(ours), fitted[best].predict_proba(side_by_side[TEST]), atol=1e-5)
    assert json.loads(json.dumps(head.facts, allow_nan=False)) == head.facts
    assert head.facts["activations"] == [member.shape[1] for member in chosen]


def test_a_strength_that_is_given_is_the_one_used(members: list[np.ndarray], label: np.ndarray) -> None:
    head = concat(members[:1], label, TRAIN, VALIDATION, C=0.5)
    theirs = pipeline(0.5).fit(members[0][TRAIN], label[TRAIN])
    assert head.facts["C"] == 0.5
    np.testing.assert_allclose(exp(head.apply([members[0][TEST]])), theirs.predict_proba(members[0][TEST]), atol=1e-5)


def test_both_together_say_more_than_each_alone(members: list[np.ndarray], label: np.ndarray) -> None:
    def loss(*chosen: np.ndarray) -> float:
        head = concat(chosen, label, TRAIN, VALIDATION)
        return log_loss(head.apply([member[TEST] for member in chosen]), label[TEST])

    assert loss(*members) < 0.9 * min(loss(member) for member in members)


def test_the_order_of_members_does_not_matter(members: list[np.ndarray], label: np.ndarray) -> None:
    one = concat(members, label, TRAIN, VALIDATION)
    other = concat(members[::-1], label, TRAIN, VALIDATION)
    assert other.facts["C"] == one.facts["C"]
    np.testing.assert_allclose(other.weights[::-1], one.weights, atol=1e-3)
    swapped = other.apply([member[TEST] for member in members[::-1]])
    np.testing.assert_allclose(exp(swapped), exp(one.apply([member[TEST] for member in members])), atol=5e-3)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_labels_outside_the_training_split_fit_nothing(
    members: list[np.ndarray], label: np.ndarray, split: str
) -> None:
    changed = label.copy()
    changed[SPLITS[split]] = changed[SPLITS[split]][::-1]
    one, other = (concat(members, labels, TRAIN, VALIDATION, C=0.01) for labels in (label, changed))
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.facts == other.facts) is (split == "test")


def test_a_head_is_applied_to_any_number_of_rows_at_a_time(
    members: list[np.ndarray], label: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = concat(members, label, TRAIN, VALIDATION, C=0.01)
    whole = head.apply(members)
    monkeypatch.setattr("graft.ensembles.concat.AT_ONCE", 7 * 44)
    np.testing.assert_allclose(head.apply(members), whole, rtol=1e-6)
    assert head.apply([member[:0] for member in members]).shape == (0, 10)
    again = concat(members, label, TRAIN, VALIDATION, C=0.01)  # standardised by parts
    np.testing.assert_allclose(exp(again.apply(members)), exp(whole), atol=1e-5)


# -- weights -------------------------------------------------------------------------------------------------------------


def test_weights_are_shares_of_squared_coefficients(members: list[np.ndarray], label: np.ndarray) -> None:
    head = concat(members, label, TRAIN, VALIDATION, C=0.01)
    model = pipeline(0.01).fit(np.hstack(members)[TRAIN], label[TRAIN])
    squares = (model[-1].coef_ ** 2).sum(axis=0)
    assert head.weights == pytest.approx([squares[:32].sum() / squares.sum(), squares[32:].sum() / squares.sum()], 1e-4)
    assert all(type(weight) is float for weight in head.weights)


def test_a_member_that_says_the_same_of_every_image_weighs_nothing(
    members: list[np.ndarray], label: np.ndarray
) -> None:
    constant = np.full((700, 5), 3, np.float32)
    head = concat([constant, members[0]], label, TRAIN, VALIDATION, C=0.01)
    assert head.weights == [0, 1]
    alone = concat(members[:1], label, TRAIN, VALIDATION, C=0.01)
    np.testing.assert_allclose(exp(head.apply([constant, members[0]])), exp(alone.apply(members[:1])), atol=1e-5)


# -- classes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seen", [[4], [2, 7], [0, 1, 2, 3, 4, 5, 6, 7, 8]], ids=["one", "two", "nine"])
def test_classes_without_a_training_image_have_laplaces_probability(
    members: list[np.ndarray], label: np.ndarray, seen: list[int]
) -> None:
    train = TRAIN[np.isin(label[TRAIN], seen)]
    head = concat(members, label, train, VALIDATION, C=0.01)
    ours = exp(head.apply([member[TEST] for member in members]))
    unseen = np.setdiff1d(np.arange(10), seen)
    np.testing.assert_allclose(ours[:, unseen], 1 / (len(train) + 10), rtol=1e-5)
    np.testing.assert_allclose(ours.sum(axis=1), 1, rtol=1e-5)
    assert np.isfinite(head.facts["validation_log_loss"])
    if len(seen) > 1:
        side_by_side = np.hstack(members)
        theirs = pipeline(0.01).fit(side_by_side[train], label[train]).predict_proba(side_by_side[TEST])
        rest = 1 - len(unseen) / (len(train) + 10)
        np.testing.assert_allclose(ours[:, seen], theirs * rest, atol=1e-5)
    else:
        assert head.weights == [0.5, 0.5]


def test_a_single_training_image_is_no_error(members: list[np.ndarray], label: np.ndarray) -> None:
    head = concat(members, label, TRAIN[:1], VALIDATION)
    assert np.isfinite(head.apply(members)).all()


# -- files ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def head(members: list[np.ndarray], label: np.ndarray) -> Head:
    return concat(members, label, TRAIN[label[TRAIN] != 3], VALIDATION, C=0.01)


def test_a_head_that_is_loaded_says_the_same(head: Head, members: list[np.ndarray], tmp_path: Path) -> None:
    for name in ("head.npz", "again.npz"):
        save_head(tmp_path / name, head)
    loaded = load_head(tmp_path / "head.npz")
    np.testing.assert_array_equal(loaded.apply(members), head.apply(members))
    assert loaded.weights == head.weights
    assert (tmp_path / "head.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "head.npz") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"mean": np.zeros(3)}, "its arrays do not fit together"),
        ({"sizes": np.array([32, 13])}, "its arrays do not fit together"),
        ({"seen": np.arange(2, 11)}, "its arrays do not fit together"),
        ({"counts": np.array([270.0, 10.0])}, "its arrays do not fit together"),
        ({"intercept": np.full(9, np.nan, np.float32)}, "a number is not finite"),
        ({"intercept": np.array([None] * 9)}, "Object arrays cannot be loaded"),
    ],
    ids=["mean", "sizes", "classes", "types", "NaN", "pickle"],
)
def test_a_damaged_head_is_refused_in_one_line(
    head: Head, tmp_path: Path, changes: dict[str, np.ndarray], text: str
) -> None:
    path = tmp_path / "head.npz"
    np.savez(path, **{name: getattr(head, name) for name in ARRAYS} | changes)
    with pytest.raises(UserError, match=f"^{path}: not the head of an ensemble: [^\n]*{text}[^\n]*$"):
        load_head(path)


# -- members by name -----------------------------------------------------------------------------------------------------


@pytest.fixture
def data(label: np.ndarray) -> Data:
    ids = np.array([f"digit{k:03}" for k in range(700)])
    return Data([], label, ids, {**SPLITS, "test": TEST[50:]}, [str(k) for k in range(10)])  # 50 images are in no split


@pytest.fixture
def named(members: list[np.ndarray], data: Data) -> dict[str, Embeddings]:
    """Each member has its samples in an order of its own, and the second none that is in no split."""
    order = np.random.default_rng(0).permutation(np.concatenate(list(data.rows.values())))
    return {
        "upper seed 0": Embeddings(data.sample_id, members[0]),
        "lower seed 0": Embeddings(data.sample_id[order], members[1][order]),
    }


@pytest.mark.parametrize("temperature", [False, True])
def test_predictions_are_those_of_the_head_on_each_split(
    named: dict[str, Embeddings], members: list[np.ndarray], data: Data, temperature: bool
) -> None:
    combined, head = concatenate(named, data, {"name": "concat", "C": 0.01}, temperature)
    expected = concat(members, data.label, TRAIN, VALIDATION, C=0.01)
    assert combined.weights == head.weights == expected.weights
    assert combined.facts == head.facts == expected.facts
    assert combined.predictions.classes == data.classes
    assert list(combined.predictions.splits) == ["validation", "test"]
    plain = expected.apply([member[VALIDATION] for member in members])
    best = best_temperature(plain, data.label[VALIDATION]) if temperature else None
    assert combined.temperature == (pytest.approx(best) if temperature else None)
    for name, (sample_id, label, log_prob) in combined.predictions.splits.items():
        rows = data.rows[name]
        assert sample_id.tolist() == data.sample_id[rows].tolist()
        assert label.tolist() == data.label[rows].tolist()
        own = expected.apply([member[rows] for member in members])
        np.testing.assert_allclose(log_prob, scaled(own, best) if best else own, rtol=1e-5, atol=1e-6)


def test_a_sample_that_a_member_lacks_is_named_with_both(named: dict[str, Embeddings], data: Data) -> None:
    sample_id, embedding = named["lower seed 0"]
    keep = sample_id != "digit007"
    lacking = {**named, "lower seed 0": Embeddings(sample_id[keep], embedding[keep])}
    with pytest.raises(UserError) as error:
        concatenate(lacking, data, {"name": "concat", "C": 0.01})
    text = "upper seed 0 and lower seed 0 cannot be combined: lower seed 0 has no embedding of digit007, and upper seed 0 has"
    assert str(error.value) == text


def test_a_study_finds_it_by_name_and_by_what_it_reads() -> None:
    part = parts("graft.ensembles")["concat"]
    assert (part.function, part.facts) == (concat, {"reads": "embeddings"})


# -- the job -------------------------------------------------------------------------------------------------------------


def saved(path: Path, write: Callable[[Path], Any]) -> str:
    path.parent.mkdir(exist_ok=True)
    write(path)
    record_sums(path.with_suffix(".sha256"), [path])
    return str(path)


@pytest.mark.parametrize("temperature", [False, True])
def test_the_job_writes_what_was_fitted(
    named: dict[str, Embeddings], members: list[np.ndarray], data: Data, tmp_path: Path, temperature: bool
) -> None:
    described = [
        {"member": name, "kind": "run", "dataset": "digits", "model": name.split()[0], "seed": 0, "predictions": []}
        for name in named
    ]
    index = pd.DataFrame(
        {"sample_id": data.sample_id, "label": data.label + 20, "class_name": [f"digit {k}" for k in data.label]}
    )
    splits = pd.concat(
        pd.DataFrame({"sample_id": data.sample_id[rows], "split": name}) for name, rows in data.rows.items()
    )
    files = {
        "predictions": "predictions.npz",
        "ensemble": "ensemble.json",
        "members": "members.csv",
        "head": "head.npz",
        "sums": "SHA256SUMS",
    }
    output = {key: str(tmp_path / "out" / name) for key, name in files.items()}
    job = SimpleNamespace(
        rule="concat_ensemble",
        wildcards=[],
        log=[str(tmp_path / "log")],
        input=SimpleNamespace(
            embeddings=[
                saved(tmp_path / f"in/{name}.npz", lambda path, found=found: save_embeddings(path, *found))
                for name, found in named.items()
            ],
            predictions=[],
            index=saved(tmp_path / "in/index.parquet", index.to_parquet),
            splits=saved(tmp_path / "in/splits.parquet", splits.to_parquet),
        ),
        params=SimpleNamespace(
            method={"name": "concat", "C": 0.01},
            temperature=temperature,
            members=described,
            preparation={"resize": "squash", "interpolation": "bicubic"},
            code="0",
        ),
        output=type("Output", (dict,), {"__getattr__": dict.__getitem__})(output),
    )
    runpy.run_path(str(SCRIPT), {"snakemake": job})
    combined, head = concatenate(named, data, {"name": "concat", "C": 0.01}, temperature)
    ensemble = read_json(output["ensemble"])
    assert ensemble["method"] == {"name": "concat", "C": 0.01}
    assert ensemble["fitted"] == combined.facts
    assert ensemble.get("temperature") == combined.temperature
    assert ensemble["classes"] == [f"digit {k}" for k in range(10)]
    assert ensemble["preparation"] == {"resize": "squash", "interpolation": "bicubic"}
    assert [row.pop("weight") for row in ensemble["members"]] == combined.weights
    assert ensemble["members"] == described
    rows = read_csv(output["members"])
    assert {"dataset", "model", "seed", "member", "weight"} <= set(rows.columns)
    assert rows["member"].tolist() == list(named)
    np.testing.assert_array_equal(load_head(output["head"]).apply(members), head.apply(members))
    predictions = load_predictions(output["predictions"])
    np.testing.assert_array_equal(predictions.splits["test"].log_prob, combined.predictions.splits["test"].log_prob)
    recorded = Path(output["sums"]).read_text()
    assert all(f"  {name}\n" in recorded for name in files.values() if name != "SHA256SUMS")
