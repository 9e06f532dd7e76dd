"""Runs that start from the weights of others, and figures that a report published: what depends on what."""

import shutil

import keras
import numpy as np
import pandas as pd
import pytest

from .conftest import Project

STUDY = """\
study: chained
threads: 1
datasets:
  digits:
    source: digits
    split: {validation: 0.1, test: 0.2}
    subset: {per_class: {train: 20}}
models:
  first:
    architecture: efficientnet_lite0
    image_size: 32
    weights: imagenet
    freeze: {before: stage7}
    train: {epochs: 2, batch_size: 32, augment: {crop: 2}, views: 2}
  after:
    extends: first
    weights: {run: first}
    why: It goes on from the first.
    train: {epochs: 1, learning_rate: 1e-4, head_first: {epochs: 1, learning_rate: 1e-3}, layer_decay: 0.5}
ensembles:
  both: {method: soft_vote}
reference:
  title: A report
  figures:
    - {of: after, images: 100, test: {top1: 0.01}, train: {top1: 0.5}}
    - {of: both, images: 100, test: {log_loss: 2.0}}
"""
EVALUATED = {
    "compare_models",
    "format_tables",
    "evaluate_runs",
    "compare_published",
    "combine_ensemble digits/both",
    "write_report",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("chained"))
    (project.folder / "config.yaml").write_text(STUDY)
    project.snakemake("--cores", "2")
    return project


def model(project: Project, name: str) -> keras.Model:
    return keras.saving.load_model(project.folder / f"results/chained/runs/digits/{name}/seed0/model.keras")


def features(project: Project) -> str:
    """The folder of the activations of the first run's frozen part."""
    (folder,) = (project.folder / "results/chained/features/digits/seed0").iterdir()
    return folder.name


def planned(project: Project, old: str, new: str) -> set[str]:
    with project.edited("config.yaml", lambda text: text.replace(old, new)):
        return {job for job in project.planned() if not job.startswith("draw_")}


def test_a_run_goes_on_from_the_weights_of_another(project: Project) -> None:
    first, after = (model(project, name).get_layer("top_conv").get_weights()[0] for name in ("first", "after"))
    assert 0 < np.abs(first - after).max() < 0.02 < np.abs(first).max()
    history = pd.read_csv(project.folder / "results/chained/runs/digits/after/seed0/history.csv")
    assert history["epoch"].tolist() == [1, 2]
    assert history["learning_rate"].tolist() == pytest.approx([1e-3, 1e-4])


def test_a_run_is_stale_with_the_one_that_it_starts_from_and_not_the_other_way_round(project: Project) -> None:
    assert planned(project, "epochs: 2", "epochs: 3") == EVALUATED | {
        "train_model digits/first/0",
        f"compute_features_of_study digits/seed0/{features(project)}",
        "train_model digits/after/0",
    }
    assert planned(project, "layer_decay: 0.5", "layer_decay: 0.6") == EVALUATED | {"train_model digits/after/0"}


def test_published_figures_and_reasons_train_nothing_again(project: Project) -> None:
    assert planned(project, "top1: 0.01", "top1: 0.02") == {"compare_published", "format_tables", "write_report"}
    assert planned(project, "title: A report", "title: Another") == {"write_report"}
    assert planned(project, "It goes on", "It learns on") == {"write_report"}


def test_published_figures_stand_beside_ours(project: Project) -> None:
    table = pd.read_csv(project.folder / "results/chained/tables/published.csv")
    runs = pd.read_csv(project.folder / "results/chained/tables/runs.csv")
    ours = runs.query("model == 'after' and split == 'test'")["top1"].item()
    row = table.query("name == 'after' and split == 'test'").iloc[0]
    assert (row["published"], row["ours"], row["verdict"]) == (0.01, pytest.approx(ours), "higher")
    page = (project.folder / "results/chained/report.html").read_text()
    assert "Against the published figures" in page and "It goes on from the first." in page


def test_a_file_of_weights_counts_by_its_content(project: Project) -> None:
    """Another file under the same name is another start."""
    runs = project.folder / "results/chained/runs/digits"
    own = project.folder / "own.keras"
    shutil.copy(runs / "first/seed0/model.keras", own)
    text = STUDY.replace("study: chained", "study: own").replace("{run: first}", "{file: own.keras}")
    (project.folder / "own.yaml").write_text(text)
    target = "results/own/runs/digits/after/seed0/model.keras"
    project.snakemake("--cores", "1", target, "--configfile", "own.yaml")
    one, other = (keras.saving.load_model(project.folder / path) for path in (target, runs / "after/seed0/model.keras"))
    for ours, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert project.planned(target, "--configfile", "own.yaml") == set()
    shutil.copy(runs / "after/seed0/model.keras", own)
    jobs = {job.partition(" ")[0] for job in project.planned(target, "--configfile", "own.yaml")}
    assert jobs == {"compute_features_of_study", "train_model"}
    own.unlink()
    done = project.snakemake("-n", "--configfile", "own.yaml", check=False)
    assert "models.after.weights.file: own.keras does not exist" in done.stdout and "Traceback" not in done.stdout


def test_a_damaged_model_is_named_by_the_run_that_starts_from_it(project: Project) -> None:
    path = project.folder / "results/chained/runs/digits/first/seed0/model.keras"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    try:
        with project.edited("config.yaml", lambda text: text.replace("layer_decay: 0.5", "layer_decay: 0.6")):
            done = project.snakemake("--cores", "1", check=False)
        assert "results/chained/runs/digits/first/seed0/model.keras: damaged" in done.stdout
        assert "Traceback" not in done.stdout
    finally:
        path.write_bytes(whole)
