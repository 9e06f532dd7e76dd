"""What a user sees when something is wrong: one message that names it, and no finished work lost."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from .conftest import STUDY, Project, clean_environment


def wrong(project: Project, text: str, *arguments: str) -> str:
    (project.folder / "wrong.yaml").write_text(text)
    done = project.snakemake("-n", "--configfile", "wrong.yaml", *arguments, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout and "Building DAG" not in done.stdout
    return done.stdout


class TestBeforeTheFirstJob:
    def test_every_problem_is_listed_with_path_value_and_remedy(self, unfinished: Project) -> None:
        text = STUDY.replace("architecture: simcnn", "architecture: simcn").replace("epochs: 2", "epochs: '3'", 1)
        printed = wrong(unfinished, text)
        assert "wrong.yaml: 2 problems in this study:" in printed
        assert "models.simcnn.architecture: 'simcn' is not an architecture; did you mean 'simcnn'?" in printed
        assert "models.simcnn.train.epochs: '3' is not a whole number; write 3 without quotes" in printed

    def test_message_is_short(self, unfinished: Project) -> None:
        printed = wrong(unfinished, STUDY.replace("learning_rate: 1e-3", "learning_rate: -1"))
        assert "models.simcnn.train.learning_rate" in printed and "greater than 0" in printed
        assert len(printed.splitlines()) <= 6

    @pytest.mark.parametrize(
        "text",
        ["", "study: [\n", "study: a\nstudy: b\n", "- 1\n", "study: ../up\n"],
        ids=["empty", "yaml", "twice", "list", "path"],
    )
    def test_unreadable_studies(self, unfinished: Project, text: str) -> None:
        wrong(unfinished, text)  # Snakemake reads a file that --configfile names first, and has its own words
        with unfinished.edited("config.yaml", lambda _: text):
            done = unfinished.snakemake("-n", check=False)
        assert done.returncode != 0
        assert "config.yaml" in done.stdout and "Traceback" not in done.stdout

    def test_configfile_replaces_the_default_study_and_is_never_merged(self, unfinished: Project) -> None:
        start, _, _ = STUDY.partition("  probe:")
        (unfinished.folder / "one.yaml").write_text(start.replace("study: small", "study: one"))
        jobs = unfinished.planned("--configfile", "one.yaml")
        assert {job for job in jobs if job.startswith("train")} == {
            f"train_model digits/simcnn/{seed}" for seed in (0, 1)
        }
        assert not {job for job in jobs if job.startswith(("combine", "tune"))}

    def test_a_study_is_one_file(self, unfinished: Project) -> None:
        assert "never merged" in wrong(unfinished, STUDY, "config.yaml")
        done = unfinished.snakemake("-n", "--config", "seeds=3", check=False)
        assert done.returncode != 0 and "--config" in done.stdout and "Traceback" not in done.stdout

    def test_lint_finds_nothing(self, unfinished: Project) -> None:
        unfinished.snakemake("--lint")


def test_damaged_predictions_are_named_and_never_averaged_in(finished: Project) -> None:
    run = finished.folder / "results/small/runs/digits/simcnn/seed1"
    combined = finished.folder / "results/small/ensembles/digits/everything/predictions.npz"
    whole = (run / "predictions.npz").read_bytes()
    with np.load(combined) as arrays:
        before = arrays["test_log_prob"]
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    (run / "predictions.npz").write_bytes(damaged)
    try:
        done = finished.snakemake("--cores", "2", check=False)
        assert done.returncode != 0
        assert "results/small/runs/digits/simcnn/seed1/predictions.npz: damaged" in done.stdout
        assert "Traceback" not in done.stdout
    finally:
        (run / "predictions.npz").write_bytes(whole)
    finished.snakemake("--cores", "2")
    with np.load(combined) as arrays:
        np.testing.assert_array_equal(arrays["test_log_prob"], before)
    assert finished.planned() == set()


def test_diverging_run_says_so_and_the_others_finish(finished: Project) -> None:
    start, _, _ = STUDY.partition("  probe:")
    text = start.replace("study: small", "study: diverging").replace("learning_rate: 1e-3", "learning_rate: 1e30")
    text = text.replace("architecture: simcnn", "architecture: toy_resnet")
    text += "  steady:\n    architecture: simcnn\n    image_size: 32\n    train: {epochs: 1, batch_size: 128}\n"
    (finished.folder / "diverging.yaml").write_text(text.replace("seeds: [0, 1]", "seeds: [0]"))
    done = finished.snakemake("--cores", "2", "--configfile", "diverging.yaml", check=False)
    assert done.returncode != 0
    assert "train_model digits simcnn 0: training diverged in epoch 1" in done.stdout
    assert "lower train.learning_rate" in done.stdout and "Traceback" not in done.stdout
    assert (finished.folder / "results/diverging/runs/digits/steady/seed0/predictions.npz").is_file()
    assert not (finished.folder / "results/diverging/runs/digits/simcnn/seed0/predictions.npz").exists()


@pytest.fixture
def full_disk(finished: Project) -> Iterator[Path]:
    """A folder of the results that has a disk of its own, with hardly any room."""
    folder = finished.folder / "results/full"
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)
    shutil.rmtree(folder)


def test_full_disk_is_one_clear_line_and_leaves_finished_work(finished: Project, full_disk: Path) -> None:
    start, _, _ = STUDY.partition("  probe:")
    (finished.folder / "full.yaml").write_text(start.replace("study: small", "study: full").replace("[0, 1]", "[0]"))
    target = "results/full/runs/digits/simcnn/seed0/predictions.npz"
    done = finished.snakemake("--cores", "1", target, "--configfile", "full.yaml", check=False)
    assert done.returncode != 0
    assert "train_model digits simcnn 0: the disk is full; free some of it" in done.stdout
    assert "Traceback" not in done.stdout
    assert (full_disk / "splits/digits.parquet").is_file()
    left = [path.name for path in (full_disk / "runs").rglob("*") if path.is_file()]
    assert not {"model.keras", "predictions.npz", "history.csv"} & set(left)


def test_two_invocations_at_a_time_refuse_each_other_cleanly(finished: Project) -> None:
    start, _, _ = STUDY.partition("  probe:")
    (finished.folder / "busy.yaml").write_text(start.replace("study: small", "study: busy").replace("[0, 1]", "[0]"))
    command = ["--cores", "1", "results/busy/runs/digits/simcnn/seed0/predictions.npz", "--configfile", "busy.yaml"]
    with subprocess.Popen(
        ["snakemake", *command],
        cwd=finished.folder,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as first:
        while not any(finished.folder.glob(".snakemake/locks/*")):
            assert first.poll() is None
            time.sleep(0.05)
        second = finished.snakemake(*command, check=False)
        assert second.returncode != 0
        assert "cannot be locked" in second.stdout and "Traceback" not in second.stdout
        assert first.wait() == 0
    assert (finished.folder / command[2]).is_file()
