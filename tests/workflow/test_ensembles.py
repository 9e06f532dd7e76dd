"""Every way to combine networks, in one small study on real digits; then its best ensemble on new images."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from graft.predictions import load_predictions, load_snapshots, save_predictions

from .conftest import Project, clean_environment

STUDY = """\
study: combined
seeds: [0, 1]
threads: 1
datasets:
  digits:
    source: digits
    split: {validation: 0.2, test: 0.2, seed: 0}
    subset: {per_class: {train: 30, validation: 12, test: 12}}
  few:
    source: digits
    split: {validation: 0.2, test: 0.2, seed: 1}
    subset: {classes: ["0", "1", "2"], per_class: {train: 20, validation: 5, test: 5}}
models:
  probe:
    architecture: efficientnet_lite0
    image_size: 32
    weights: imagenet
    freeze: all
    train: {epochs: 4, learning_rate: 1e-2}
  cycles:
    extends: probe
    image_size: 64
    datasets: [digits]
    train: {schedule: {name: cosine_cycles, cycles: 2}}
  parted:
    extends: probe
    folds: 3
    datasets: [digits]
  tuned:
    extends: probe
    tune: {trials: 2, sampler: random, pruner: none, space: {train.learning_rate: {low: 1e-3, high: 1e-2}}}
    datasets: [digits]
    seeds: [0]
  of_few:
    extends: probe
    datasets: [few]
    seeds: [0]
  student:
    extends: probe
    distill: {ensemble: votes, temperature: 2}
    datasets: [digits]
    seeds: [0]
ensembles:
  votes: {method: soft_vote, members: [probe, cycles], datasets: [digits]}
  patterns: {method: weighted_vote, members: ["pro*", {trials: tuned, best: 1}], best: 2, temperature: true, datasets: [digits]}
  elsewhere: {method: {name: greedy, bags: 1, share: 1.0}, members: [probe, {predictions: other.npz}], datasets: [digits]}
  bagged: {method: soft_vote, members: [parted], datasets: [digits]}
  snapshots: {method: soft_vote, members: [{snapshots: cycles}], datasets: [digits]}
  joined: {method: concat, members: [probe, cycles, {run: of_few, dataset: few}], datasets: [digits]}
  soup: {method: weight_average, members: [probe], datasets: [digits]}
  averaged: {method: soft_vote, members: [probe]}
  counted: {method: hard_vote, members: [probe]}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("combined"))
    (project.folder / "config.yaml").write_text(STUDY)
    # What another program would have made: the predictions of a run of the same study, under another name.
    (project.folder / "other.npz").touch()
    probe = "results/combined/runs/digits/probe/seed0/predictions.npz"
    project.snakemake("--cores", "2", probe)
    save_predictions(project.folder / "other.npz", load_predictions(project.folder / probe))
    project.snakemake("--cores", "2")
    return project


def described(project: Project, name: str) -> dict[str, Any]:
    return dict(json.loads((project.folder / f"results/combined/ensembles/digits/{name}/ensemble.json").read_text()))


def log_prob(path: Path, split: str = "test") -> np.ndarray:
    return load_predictions(path).splits[split].log_prob


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("votes", ["probe seed 0", "probe seed 1", "cycles seed 0", "cycles seed 1"]),
        ("bagged", ["parted folds"]),
        ("snapshots", [f"cycles seed {seed} snapshot {number}" for seed in (0, 1) for number in (1, 2)]),
        ("joined", ["probe seed 0", "probe seed 1", "cycles seed 0", "cycles seed 1", "of_few on few seed 0"]),
        ("soup", ["probe seed 0", "probe seed 1"]),
        ("elsewhere", ["probe seed 0", "probe seed 1", "other"]),
    ],
)
def test_each_kind_of_member_is_in_its_ensemble(project: Project, name: str, members: list[str]) -> None:
    facts = described(project, name)
    assert [member["member"] for member in facts["members"]] == members
    folder = project.folder / f"results/combined/ensembles/digits/{name}"
    for member in facts["members"]:
        assert all((folder / path).is_file() for path in member["networks"] + member["predictions"])
    assert pd.read_csv(folder / "members.csv")["weight"].sum() == pytest.approx(1)


def test_the_best_of_patterns_and_trials_are_two(project: Project) -> None:
    members = {member["member"].rpartition(" ")[0] for member in described(project, "patterns")["members"]}
    assert len(described(project, "patterns")["members"]) == 2
    assert members <= {"probe seed", "tuned trial"}


def test_folds_predict_every_image_but_those_of_the_test(project: Project) -> None:
    runs = project.folder / "results/combined/runs/digits/parted"
    folds = [load_predictions(runs / f"seed{k}/predictions.npz").splits["validation"].sample_id for k in range(3)]
    splits = pd.read_parquet(project.folder / "results/combined/splits/digits.parquet")
    assert sorted(np.concatenate(folds)) == sorted(splits["sample_id"][splits["split"] != "test"])
    bagged = load_predictions(project.folder / "results/combined/ensembles/digits/bagged/predictions.npz")
    assert len(bagged.splits["validation"].label) == sum(map(len, folds))
    mean = np.mean([np.exp(log_prob(runs / f"seed{k}/predictions.npz")) for k in range(3)], axis=0)
    np.testing.assert_allclose(np.exp(bagged.splits["test"].log_prob), mean, atol=1e-6)


def test_the_last_snapshot_is_what_the_run_predicts(project: Project) -> None:
    run = project.folder / "results/combined/runs/digits/cycles/seed0"
    first, last = load_snapshots(run / "snapshots.npz")
    np.testing.assert_array_equal(last.splits["test"].log_prob, log_prob(run / "predictions.npz"))
    assert not np.array_equal(first.splits["test"].log_prob, last.splits["test"].log_prob)


def test_a_student_learns_from_what_the_ensemble_says_of_training_images(project: Project) -> None:
    with np.load(project.folder / "results/combined/soft_labels/digits/votes/soft_labels.npz") as labels:
        splits = pd.read_parquet(project.folder / "results/combined/splits/digits.parquet")
        assert set(labels["sample_id"]) == set(splits["sample_id"][splits["split"] == "train"])
    results = project.folder / "results/combined"
    teacher = log_prob(results / "ensembles/digits/votes/predictions.npz").argmax(axis=1)
    student = log_prob(results / "runs/digits/student/seed0/predictions.npz").argmax(axis=1)
    assert (teacher == student).mean() > 0.5  # of ten classes


def test_every_ensemble_is_in_the_tables_beside_its_best_member(project: Project) -> None:
    table = pd.read_csv(project.folder / "results/combined/tables/ensembles.csv")
    test = table[(table["split"] == "test") & (table["dataset"] == "digits")].set_index("ensemble")
    names = {"votes", "patterns", "elsewhere", "bagged", "snapshots", "joined", "soup", "averaged", "counted"}
    assert set(test.index) == names
    for name, row in test.iterrows():
        gain = described(project, str(name))["best_member"]
        assert row["members"] == len(described(project, str(name))["members"])
        assert row["top1"] - gain["top1"] == pytest.approx(gain["difference"], abs=1e-9)
        assert gain["difference_low"] <= gain["difference"] <= gain["difference_high"]


def test_what_two_data_sets_have_in_common_is_ranked(project: Project) -> None:
    results = project.folder / "results/combined"
    ranks = pd.read_csv(results / "tables/ranks.csv")
    assert set(ranks["name"]) == {"probe", "averaged", "counted"} and set(ranks["datasets"]) == {2}
    for metric in ("top1", "log_loss"):
        assert (results / f"figures/critical_difference.{metric}.png").stat().st_size > 5000
    page = (results / "report.html").read_text()
    assert "Mean ranks over data sets" in page and "Accuracy by number of members" in page


@pytest.mark.parametrize("name", ["votes", "joined", "soup", "bagged"])
def test_an_ensemble_says_of_new_images_what_it_said_of_the_same_in_the_study(project: Project, name: str) -> None:
    digits = project.folder / "digits"
    index = pd.read_parquet(next(project.folder.glob("data/digits-*/index.parquet")))
    images = np.load(next(project.folder.glob("data/digits-*/32px/images.npy")), mmap_mode="r")
    ensemble = project.folder / f"results/combined/ensembles/digits/{name}"
    said = load_predictions(ensemble / "predictions.npz").splits["test"]
    chosen = said.sample_id[:6]
    digits.mkdir(exist_ok=True)
    for sample in chosen:
        small = images[index.index[index["sample_id"] == sample][0]]
        Image.fromarray(small).save(digits / f"{sample}.png")
    done = subprocess.run(
        ["graft", "predict", str(ensemble / "ensemble.json"), str(digits), "--output", str(digits / "said.csv")],
        env=clean_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(digits / "said.csv")
    classes = [column for column in table.columns if column.startswith("p_")]
    found = {Path(row["image"]).stem: row[classes].to_numpy(float) for _, row in table.iterrows()}
    for sample, expected in zip(chosen, np.exp(said.log_prob), strict=False):
        # Networks at 64 px see the image enlarged from 32 and not from 8 pixels.
        assert found[str(sample)].argmax() == expected.argmax()
        if name in ("soup", "bagged"):
            np.testing.assert_allclose(found[str(sample)], expected, atol=1e-4)
