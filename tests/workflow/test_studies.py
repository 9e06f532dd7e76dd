"""The shipped studies: each is planned whole, and a reduced variant of it runs to its report on images made here."""

import hashlib
import shutil
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from graft.study_file import read_study
from tests.unit.sources import published

from .conftest import ROOT, Project

SHIPPED = sorted(path.stem for path in (ROOT / "studies").glob("*.yaml"))
LIMITS = {"images_per_class": 2, "epochs": 1, "seeds": 1, "trials": 1}


def cifar(folder: Path, classes: int) -> Path:
    images = published.crops(32, 7 * classes, classes)
    write = published.cifar10 if classes == 10 else published.cifar100
    return write(folder, images.part(0, 6 * classes), images.part(6 * classes, 7 * classes))


def mnist(folder: Path) -> list[Path]:
    images = published.digits(28, 250)
    return published.idx(folder, images.part(0, 200), images.part(200, 250))


def flowers(folder: Path) -> Path:
    names = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
    photos = published.crops(96, 75, len(names))
    members = {
        f"flower_photos/{names[label]}/{number}.jpg": published.encoded(image, "JPEG")
        for number, (image, label) in enumerate(zip(*photos, strict=True))
    }
    return published.tar_gz(folder / "flower_photos.tgz", members)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# Of each study one small model, and where its images come from: data set, source, and what writes the archive.
SMALL = {
    "cifar100_transfer_ensemble": ("dcnn", "cifar100", lambda folder: digest(cifar(folder, 100))),
    "cifar10_simcnn_resnet50": ("simcnn", "cifar10", lambda folder: digest(cifar(folder, 10))),
    "cifar_small_networks": ("calik_demirci", "cifar10", lambda folder: digest(cifar(folder, 10))),
    "digits_ensembles": ("simcnn_cycles", "digits", None),
    "fast_cifar": ("fast_cifar", "cifar10", lambda folder: digest(cifar(folder, 10))),
    "flowers_ensembles": ("lite0_128", "flower_photos", lambda folder: digest(flowers(folder))),
    "flowers_finetuning": ("lite0_probe", "flower_photos", lambda folder: digest(flowers(folder))),
    "solar_cells": ("simcnn", "elpv", None),
    "tiny_imagenet_finetune_ensemble": (
        "mnist_mlp",
        "mnist",
        lambda folder: {path.name: digest(path) for path in mnist(folder)},
    ),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("studies"))
    shutil.copy(ROOT / "config.yaml", project.folder)  # which one of them extends
    return project


def test_every_shipped_study_is_tried() -> None:
    assert sorted(SMALL) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_study_is_planned_whole(project: Project, name: str) -> None:
    jobs = [job.partition(" ")[::2] for job in project.planned("--configfile", f"studies/{name}.yaml")]
    study = read_study(ROOT / f"studies/{name}.yaml")
    trained = {values.split("/")[1] for rule, values in jobs if rule.startswith("train_")}
    assert trained == set(study.models)
    combining = ("combine_ensemble", "concat_ensemble", "average_weights")
    assert {values.split("/")[1] for rule, values in jobs if rule in combining} == set(study.ensembles)
    compared = any(rule == "compare_published" for rule, _ in jobs)
    assert compared == (study.reference is not None)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_reduced_study_runs_to_its_report(project: Project, tmp_path: Path, name: str) -> None:
    model, source, write = SMALL[name]
    whole = read_study(ROOT / f"studies/{name}.yaml")
    on = whole.datasets_of(whole.models[model])
    (dataset,) = (key for key in on if whole.datasets[key].source.name == source)
    reduced = {
        "study": f"reduced_{name}",
        "extends": f"studies/{name}.yaml",
        "limits": LIMITS | {"models": [model]},
        "threads": 1,
    }
    if write:
        changes = {"source": {"name": source, "sha256": write(tmp_path)}}
        reduced |= {"mirror": [str(tmp_path)], "datasets": {dataset: changes}}
    YAML(typ="safe", pure=True).dump(reduced, project.folder / "reduced.yaml")
    project.snakemake("--cores", "2", "--configfile", "reduced.yaml")
    results = project.folder / f"results/reduced_{name}"
    runs = pd.read_csv(results / "tables/runs.csv")
    assert set(runs["model"]) == {model}
    assert (results / "report.html").stat().st_size > 10_000
    if whole.reference and model in {figure.of for figure in whole.reference.figures}:
        table = pd.read_csv(results / "tables/published.csv")
        assert model in set(table["name"]) and table["ours"].notna().any()
