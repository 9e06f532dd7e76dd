"""The files of a finished study hold what the design says, read as another program would read them."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss

from .conftest import Project

RUNS = [(model, seed) for model in ("simcnn", "probe", "dcnn") for seed in (0, 1)]


@pytest.fixture(scope="module")
def results(finished: Project) -> Path:
    return finished.folder / "results/small"


@pytest.fixture(scope="module")
def store(finished: Project) -> Path:
    (folder,) = finished.folder.glob("data/digits-*")
    return folder


def split_ids(results: Path) -> dict[str, set[str]]:
    splits = pd.read_parquet(results / "splits/digits.parquet")
    return {name: set(group["sample_id"]) for name, group in splits.groupby("split")}


def test_store_is_named_by_data_set_and_key(store: Path) -> None:
    assert re.fullmatch(r"digits-[0-9a-f]{10}", store.name)
    assert (store / "raw/digits.csv.gz").is_file()
    assert {path.name for path in store.glob("*px")} == {"16px", "32px"}


def test_index_and_images_are_the_published_digits(store: Path) -> None:
    index = pd.read_parquet(store / "index.parquet")
    images = np.load(store / "32px/images.npy", mmap_mode="r")
    published = load_digits()
    assert {"sample_id", "label", "source", "sha1"} <= set(index.columns)
    assert index["sample_id"].is_unique
    np.testing.assert_array_equal(index["label"], published.target)
    assert images.shape == (1797, 32, 32, 3) and images.dtype == np.uint8
    # An enlarged image keeps the brightness of its 8 x 8 original.
    means = images.reshape(1797, -1).mean(axis=1) / 255 * 16
    np.testing.assert_allclose(means, published.images.mean(axis=(1, 2)), atol=0.5)


def test_features_are_of_the_frozen_part_for_every_image(store: Path) -> None:
    (folder,) = store.glob("32px/features/efficientnet_lite0-all-*")
    activations = np.load(folder / "activations0.npy")
    assert activations.shape == (1797, 1280) and activations.dtype == np.float32
    assert activations.std() > 0.1


def test_splits_cover_the_index_once(results: Path, store: Path) -> None:
    ids = split_ids(results)
    index = pd.read_parquet(store / "index.parquet")
    assert set(ids) == {"train", "validation", "test"}
    assert sum(map(len, ids.values())) == len(index)
    assert set.union(*ids.values()) == set(index["sample_id"])


@pytest.mark.parametrize(("model", "seed"), RUNS)
def test_run_folder(results: Path, store: Path, model: str, seed: int) -> None:
    run = results / f"runs/digits/{model}/seed{seed}"
    files = {path.name for path in run.iterdir()}
    # A constant rate lets a run be extended, from its last state.
    named = {"model.keras", "history.csv", "history.json", "predictions.npz", "runtime.json", "SHA256SUMS", "state"}
    assert files == named
    labels = pd.read_parquet(store / "index.parquet").set_index("sample_id")["label"]
    with np.load(run / "predictions.npz", allow_pickle=False) as arrays:
        assert arrays["classes"].tolist() == [str(digit) for digit in range(10)]
        for split in ("validation", "test"):
            sample_id, label, log_prob = (arrays[f"{split}_{name}"] for name in ("sample_id", "label", "log_prob"))
            assert set(sample_id) == split_ids(results)[split] and len(set(sample_id)) == len(sample_id)
            np.testing.assert_array_equal(label, labels.loc[sample_id])
            assert log_prob.shape == (len(sample_id), 10) and log_prob.dtype == np.float32
            np.testing.assert_allclose(np.exp(log_prob.astype(float)).sum(axis=1), 1, atol=1e-5)
    history = pd.read_csv(run / "history.csv")
    assert list(history.columns) == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss", "learning_rate"]
    assert history["epoch"].tolist() == list(range(1, len(history) + 1))
    assert json.loads((run / "history.json").read_text()) == history.to_dict("records")
    runtime = json.loads((run / "runtime.json").read_text())
    assert {"wall_seconds", "peak_memory_mib", "versions", "machine", "parameters", "images_per_second"} <= set(runtime)
    assert runtime["seed"] == seed
    assert re.fullmatch(r"[0-9a-f]{16}", runtime["fingerprint"])


def test_saved_model_takes_published_bytes_and_says_what_was_saved(results: Path, store: Path, tmp_path: Path) -> None:
    """In a process of its own, as a user with the file and Keras alone would do it."""
    script = """
import sys, keras, numpy as np
out = {}
images = np.load(sys.argv[1])
for name, path in zip(("simcnn", "probe"), sys.argv[3:]):
    out[name] = keras.saving.load_model(path, safe_mode=True).predict(images, verbose=0)
np.savez(sys.argv[2], **out)
"""
    runs = [results / f"runs/digits/{model}/seed0" for model in ("simcnn", "probe")]
    out = tmp_path / "out.npz"
    models = [str(run / "model.keras") for run in runs]
    subprocess.run(
        [sys.executable, "-c", script, str(store / "32px/images.npy"), str(out), *models],
        check=True,
        capture_output=True,
    )
    index = pd.read_parquet(store / "index.parquet").reset_index().set_index("sample_id")["index"]
    with np.load(out) as logits:
        for run in runs:
            with np.load(run / "predictions.npz") as saved:
                mine = logits[run.parent.name][index.loc[saved["test_sample_id"]]].astype(float)
                log_prob = mine - np.log(np.exp(mine).sum(axis=1, keepdims=True))
                np.testing.assert_allclose(log_prob, saved["test_log_prob"], atol=2e-4)


def test_seeds_differ(results: Path) -> None:
    first, second = (np.load(results / f"runs/digits/simcnn/seed{k}/predictions.npz")["test_log_prob"] for k in (0, 1))
    assert not np.array_equal(first, second)


def test_search_stays_in_its_space_and_is_used(results: Path) -> None:
    folder = results / "tuning/digits/dcnn"
    best = json.loads((folder / "best.json").read_text())
    trials = pd.read_csv(folder / "search/trials.csv")
    assert len(trials) == 2 and set(trials["state"]) <= {"complete", "pruned"}
    assert best["value"] == pytest.approx(trials["value"].min(), abs=1e-6)
    assert 1e-10 <= best["params"]["options.weight_decay"] <= 1e-3
    assert best["params"]["train.optimizer.name"] in {"adam", "sgd"}
    assert (folder / "state/optuna.db").is_file()
    with zipfile.ZipFile(results / "runs/digits/dcnn/seed0/model.keras") as model:
        text = model.read("config.json").decode()
    assert f'"l2": {best["params"]["options.weight_decay"]!r}' in text


def test_ensemble_is_the_mean_of_its_members_probabilities(results: Path) -> None:
    folder = results / "ensembles/digits/everything"
    members = pd.read_csv(folder / "members.csv")
    assert list(zip(members["model"], members["seed"], strict=True)) == RUNS
    described = json.loads((folder / "ensemble.json").read_text())
    assert described["method"] == {"name": "soft_vote", "mean": "arithmetic"} and len(described["members"]) == len(RUNS)
    with np.load(folder / "predictions.npz") as combined:
        tables = []
        for model, seed in RUNS:
            with np.load(results / f"runs/digits/{model}/seed{seed}/predictions.npz") as run:
                order = pd.Series(range(len(run["test_sample_id"])), run["test_sample_id"])
                tables.append(np.exp(run["test_log_prob"].astype(float))[order.loc[combined["test_sample_id"]]])
        np.testing.assert_allclose(np.exp(combined["test_log_prob"]), np.mean(tables, axis=0), atol=1e-6)


def test_tables_agree_with_scikit_learn(results: Path) -> None:
    runs = pd.read_csv(results / "tables/runs.csv").set_index(["model", "seed", "split"])
    models = pd.read_csv(results / "tables/models.csv").set_index(["model", "split"])
    assert len(runs) == len(RUNS) * 2
    for model, seed in RUNS:
        with np.load(results / f"runs/digits/{model}/seed{seed}/predictions.npz") as run:
            label, log_prob = run["test_label"], run["test_log_prob"].astype(float)
        row = runs.loc[(model, seed, "test")]
        assert row["images"] == len(label)
        assert row["top1"] == pytest.approx(accuracy_score(label, log_prob.argmax(axis=1)), abs=1e-6)
        assert row["log_loss"] == pytest.approx(
            log_loss(label, np.exp(log_prob) / np.exp(log_prob).sum(axis=1, keepdims=True), labels=range(10)), abs=1e-4
        )
    values = runs.xs("test", level="split").loc["simcnn"]["top1"]
    assert models.loc[("simcnn", "test"), "top1_mean"] == pytest.approx(values.mean(), abs=1e-6)
    assert models.loc[("simcnn", "test"), "top1_sd"] == pytest.approx(values.std(ddof=1), abs=1e-6)
    assert models.loc[("simcnn", "test"), "seeds"] == 2


def test_every_figure_is_there_thrice(results: Path) -> None:
    names = {path.name.removesuffix(".png") for path in (results / "figures").glob("*.png")}
    assert {"model_comparison.digits", "sample_grid.digits"} <= names
    tuning = ("history", "importance", "parallel_coordinates", "intermediate_values", "slice")
    assert {f"tuning_{kind}.digits.dcnn" for kind in tuning} <= names
    assert {f"{kind}.digits.simcnn" for kind in ("learning_curves", "confusion_matrix")} <= names
    assert "confusion_matrix.digits.everything" in names
    for name in names:
        assert (results / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (results / f"figures/{name}.svg").read_text()
        assert len(pd.read_csv(results / f"figures/{name}.csv")) > 0


def test_report_is_one_page_that_needs_nothing_else(results: Path) -> None:
    page = (results / "report.html").read_text()
    for name in ("simcnn", "probe", "dcnn", "everything", "train.optimizer.name", "tensorflow"):
        assert name in page
    assert page.count('src="data:image/png;base64,') == len(list((results / "figures").glob("*.png")))
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)


def test_tensorboard_gets_both_splits_of_every_run(finished: Project, results: Path) -> None:
    folder = results / "tensorboard"
    assert not folder.exists(), "no other target needs it"
    finished.snakemake("--cores", "2", "tensorboard")
    written = {str(path.parent.relative_to(folder)) for path in folder.rglob("events.out.tfevents.*")}
    assert written == {
        f"digits/{model}/seed{seed}/{split}" for model, seed in RUNS for split in ("train", "validation")
    }


def test_checksums_are_recorded_beside_every_output(finished: Project, results: Path) -> None:
    sums = [*results.rglob("SHA256SUMS"), *results.rglob("*.sha256"), *finished.folder.glob("data/**/SHA256SUMS")]
    recorded: set[Path] = set()
    for path in sums:
        subprocess.run(
            ["sha256sum", "--check", "--strict", path.name], cwd=path.parent, check=True, capture_output=True
        )
        recorded |= {path.parent / line.split("  ", 1)[1] for line in path.read_text().splitlines()}
    passed_over = {"logs", "benchmarks", "state"}
    outputs = {p for p in results.rglob("*") if p.is_file() and not passed_over & set(p.relative_to(results).parts)}
    assert outputs - recorded - set(sums) == set(results.rglob("runtime.json"))


def test_snakemake_report_has_categories_and_captions(finished: Project) -> None:
    finished.snakemake("--report", "results/small/snakemake-report.zip")
    with zipfile.ZipFile(finished.folder / "results/small/snakemake-report.zip") as archive:
        text = "".join(
            archive.read(name).decode(errors="replace") for name in archive.namelist() if name.endswith(".js")
        )
        text += "".join(archive.read(n).decode(errors="replace") for n in archive.namelist() if n.endswith(".html"))
    for word in ("Figures", "Tables", "Report", "learning curves", "dashed on the training split"):
        assert word in text


def test_log_has_a_line_per_epoch_and_no_job_floods_the_terminal(finished: Project, results: Path) -> None:
    log = (results / "logs/train_model/digits/simcnn/seed0.log").read_text()
    assert re.search(r"epoch 1/2 .*val_loss", log) and re.search(r"epoch 2/2 .*val_loss", log)
