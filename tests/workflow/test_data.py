"""From a source to arrays, splits and a card: published formats, own folders, no network, kills, and what is stale then."""

import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.unit.sources import published

from .conftest import Project, clean_environment

STUDY = """\
study: {name}
threads: 1
mirror: [{mirror}]
datasets:
  it:
{dataset}
models:
  small:
    architecture: simcnn
    image_size: {size}
    train: {{epochs: 1}}
"""


def write_study(
    project: Project, dataset: str, *, name: str = "data", size: int = 32, mirror: object = "mirror"
) -> None:
    indented = "\n".join(f"    {line}" for line in dataset.strip().splitlines())
    text = STUDY.format(name=name, mirror=mirror, dataset=indented, size=size)
    (project.folder / "config.yaml").write_text(text, encoding="utf-8")


def contents(folder: Path) -> dict[str, str]:
    """The digests of every file below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def store(project: Project) -> Path:
    (folder,) = project.folder.glob("data/it-*")
    return folder


def save_photos(folder: Path, classes: dict[str, int]) -> None:
    """Different real photographs of 40 x 30 pixels, as many for each class as it says."""
    images = iter(published.crops(40, sum(classes.values()), 2).images)
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(next(images)[:30]).save(folder / name / f"{number:03}.png")


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("data"))


@pytest.fixture
def project(shared_project: Project) -> Iterator[Project]:
    """A copy of the project without any data or results."""
    for name in ("data", "results", "mirror", "photos", ".snakemake"):
        shutil.rmtree(shared_project.folder / name, ignore_errors=True)
    (shared_project.folder / "mirror").mkdir()
    yield shared_project


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class TestPublishedFormats:
    def test_cifar10_from_a_mirror(self, project: Project) -> None:
        images = published.crops(32, 140, 10)
        train, test = images.part(0, 100), images.part(100, 140)
        archive = published.cifar10(project.folder / "mirror", train, test)
        write_study(
            project,
            f"source: {{name: cifar10, sha256: {digest(archive)}}}\nsplit: {{validation: 0.3}}\nleakage: report",
        )
        project.snakemake("--cores", "2", "datasets")
        index = pd.read_parquet(store(project) / "index.parquet")
        array = np.load(store(project) / "32px/images.npy", mmap_mode="r")
        assert index["split"].value_counts().to_dict() == {"train": 100, "test": 40}
        np.testing.assert_array_equal(array[index["split"] == "train"], train.images)
        np.testing.assert_array_equal(index.loc[index["split"] == "test", "label"], test.labels)
        splits = pd.read_parquet(project.folder / "results/data/splits/it.parquet")
        published_test = set(index.loc[index["split"] == "test", "sample_id"])
        assert set(splits.loc[splits["split"] == "test", "sample_id"]) == published_test
        assert set(splits["split"]) == {"train", "validation", "test"}
        assert "airplane" in (store(project) / "card.html").read_text()
        assert project.planned("datasets") == set()

    def test_another_mirror_and_another_split_prepare_nothing_again(self, project: Project) -> None:
        images = published.crops(32, 60, 10)
        archive = published.cifar10(project.folder / "mirror", images.part(0, 50), images.part(50, 60))
        dataset = f"source: {{name: cifar10, sha256: {digest(archive)}}}\nsplit: {{validation: 0.3}}"
        write_study(project, dataset)
        project.snakemake("--cores", "2", "datasets")
        write_study(project, dataset, mirror="elsewhere")
        assert project.planned("datasets") == set()
        write_study(project, dataset.replace("0.3", "0.2") + "\nsubset: {classes: [cat, dog]}")
        assert project.planned("datasets") == {"split_dataset it"}
        # Another preparation is another store, and finds the archive in the first one.
        write_study(project, dataset + "\nresize: crop", mirror="elsewhere")
        assert "copied from" in project.snakemake("--cores", "2", "downloads").stdout

    def test_without_a_network_the_error_says_what_to_put_where(self, project: Project) -> None:
        write_study(project, "source: flower_photos\nsplit: {validation: 0.1, test: 0.1}")
        nowhere = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
        start = time.monotonic()
        done = project.snakemake("--cores", "1", "downloads", check=False, **nowhere)
        assert done.returncode != 0 and "Traceback" not in done.stdout
        for words in ("flower_photos.tgz", "4c54ace7911aaffe", "data/it-", "mirror", "storage.googleapis.com"):
            assert words in done.stdout
        assert time.monotonic() - start < 60


class TestFolders:
    CLASSES = {"tea cup": 30, "Größe": 30, "<script>alert('x')</script>".replace("/", "-"): 30, 'say "hi"': 1}

    def test_own_images_whatever_their_names(self, project: Project) -> None:
        save_photos(project.folder / "photos", self.CLASSES)
        (project.folder / "photos/tea cup/empty.jpg").touch()
        (project.folder / "photos/tea cup/notes.jpg").write_text("no image")
        (project.folder / "photos/nothing here").mkdir()
        dataset = "source: {name: folder, path: photos}\nsplit: {validation: 0.2, test: 0.2}\nmax_bad: 0.03"
        write_study(project, dataset)
        printed = project.snakemake("--cores", "2").stdout  # through training, to the report
        assert "91 images of 4 classes, 2 in quarantine" in printed
        assert "no image in the" in printed and 'say "hi"' in printed
        quarantine = pd.read_csv(store(project) / "quarantine.csv").set_index("source")["reason"]
        assert "0 bytes" in quarantine["tea cup/empty.jpg"]
        assert "not an image" in quarantine["tea cup/notes.jpg"]
        for page in (store(project) / "card.html", project.folder / "results/data/report.html"):
            text = page.read_text()
            assert "Größe" in text and "<script>" not in text and "&lt;script&gt;" in text
        assert project.planned() == set()

        write_study(project, dataset.replace("0.03", "0.01"))
        done = project.snakemake("--cores", "1", "datasets", check=False)
        assert "2 of 93 images cannot be used, more than max_bad: 0.01 allows" in done.stdout
        assert "Traceback" not in done.stdout and done.returncode != 0

    def test_only_changed_images_make_anything_stale_and_none_moves(self, project: Project) -> None:
        save_photos(project.folder / "photos", {"a": 40, "b": 40})
        write_study(project, "source: {name: folder, path: photos}\nsplit: {validation: 0.2, test: 0.2}")
        project.snakemake("--cores", "2", "datasets")
        before = pd.read_parquet(project.folder / "results/data/splits/it.parquet").set_index("sample_id")["split"]
        for path in project.folder.glob("photos/*/*"):
            os.utime(path)
        assert project.planned("datasets") == set()
        # Planned again, it looks at sizes and times alone: other bytes of equal size and time go unseen.
        one = next(project.folder.glob("photos/a/*"))
        whole, seen = one.read_bytes(), one.stat()
        one.write_bytes(bytes(len(whole)))
        os.utime(one, ns=(seen.st_atime_ns, seen.st_mtime_ns))
        assert project.planned("datasets") == set()
        one.write_bytes(whole)
        Image.fromarray(published.crops(40, 81, 2).images[80]).save(project.folder / "photos/b/new.png")
        assert "download_dataset" in {job.split()[0] for job in project.planned("datasets")}
        project.snakemake("--cores", "2", "datasets")
        after = pd.read_parquet(project.folder / "results/data/splits/it.parquet").set_index("sample_id")["split"]
        assert len(after) == len(before) + 1
        assert after[before.index].equals(before)
        assert project.planned("datasets") == set()

    def test_a_size_that_is_asked_for_later_is_the_same_as_one_made_at_once(self, project: Project) -> None:
        save_photos(project.folder / "photos", {"a": 20, "b": 20})
        (project.folder / "photos/a/bad.png").write_bytes(b"no image")
        dataset = "source: {name: folder, path: photos}\nsplit: {validation: 0.2, test: 0.2}\nmax_bad: 0.5"
        write_study(project, dataset, size=24)
        project.snakemake("--cores", "2", "datasets")
        write_study(project, dataset, size=32)
        assert project.planned("datasets") == {f"prepare_images it/{store(project).name[3:]}/32"}
        project.snakemake("--cores", "2", "datasets")
        later = contents(store(project))
        shutil.rmtree(project.folder / "data")
        project.snakemake("--cores", "2", "datasets")
        at_once = contents(store(project))
        assert {name: later[name] for name in at_once} == at_once

    def test_a_folder_that_is_not_there_is_named(self, project: Project) -> None:
        write_study(project, "source: {name: folder, path: nowhere}\nsplit: {validation: 0.2, test: 0.2}")
        done = project.snakemake("--cores", "1", "datasets", check=False)
        assert "nowhere" in done.stdout and "Traceback" not in done.stdout and done.returncode != 0


def test_killed_at_any_time_it_ends_with_the_same_bytes(project: Project) -> None:
    images = published.digits(32)
    archive = published.cifar10(project.folder / "mirror", images.part(0, 1500), images.part(1500, 1797))
    write_study(project, f"source: {{name: cifar10, sha256: {digest(archive)}}}\nsplit: {{validation: 0.1}}", size=40)
    project.snakemake("--cores", "2", "datasets")
    undisturbed = contents(project.folder / "data")
    for name in ("data", "results", ".snakemake"):
        shutil.rmtree(project.folder / name)
    kills = 0
    for seconds in (1.5, 2.5, 3.2, 4.0, 5.0, 6.0):
        running = subprocess.Popen(
            ["snakemake", "--cores", "2", "datasets"],
            cwd=project.folder,
            env=clean_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            running.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            kills += 1
            project.snakemake("--unlock")
    assert kills >= 3
    project.snakemake("--cores", "2", "datasets")
    assert contents(project.folder / "data") == undisturbed
