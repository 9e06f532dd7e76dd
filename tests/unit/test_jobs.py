import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

START = """
import logging, os, subprocess, sys
from types import SimpleNamespace
from graft.errors import UserError
from graft.jobs import job
snakemake = SimpleNamespace(rule="train_model", wildcards=["digits", "small", 0], log=["job.log"])
with job(snakemake) as say:
"""


def run(tmp_path: Path, block: str) -> tuple[int, str, str]:
    """Exit status, what the terminal shows, and what the log holds."""
    lines = "".join(f"    {line}\n" for line in block.split("\n"))
    done = subprocess.run(
        [sys.executable, "-c", START + lines],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr, (tmp_path / "job.log").read_text(encoding="utf-8")


def test_the_terminal_shows_what_the_job_says_and_who_says_it(tmp_path: Path) -> None:
    status, terminal, log = run(tmp_path, "say('3 epochs, é')")
    assert status == 0
    assert terminal == "train_model digits small 0: 3 epochs, é\n"
    assert "3 epochs, é" in log


@pytest.mark.parametrize(
    "noise",
    [
        "print('noise')",
        "sys.stderr.write('noise')",
        "logging.getLogger('graft.training').info('noise')",
        "os.write(2, b'noise')",
        "subprocess.run(['echo', 'noise'])",
    ],
)
def test_everything_else_goes_to_the_log(tmp_path: Path, noise: str) -> None:
    status, terminal, log = run(tmp_path, noise)
    assert (status, terminal) == (0, "")
    assert "noise" in log


def test_progress_that_is_logged_is_shown_once_in_a_while(tmp_path: Path) -> None:
    block = """import graft.jobs, time
handler = logging.getLogger('graft').handlers[0]
handler.last -= graft.jobs.SHOWN_EVERY
for epoch in range(3):
    logging.getLogger('graft.training').info('epoch %d', epoch + 1)
logging.getLogger('keras').info('noise')"""
    status, terminal, log = run(tmp_path, block)
    assert (status, terminal) == (0, "train_model digits small 0: epoch 1\n")
    assert [f"epoch {k}" in log for k in (1, 2, 3)] == [True] * 3


def test_a_users_error_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    status, terminal, log = run(tmp_path, "raise UserError('data/x.npy: damaged; delete it')")
    assert status == 1
    assert terminal == "train_model digits small 0: data/x.npy: damaged; delete it\n"
    assert "damaged" in log
    assert "Traceback" not in terminal + log


def test_any_other_error_names_the_log_that_holds_its_traceback(tmp_path: Path) -> None:
    status, terminal, log = run(tmp_path, "1 / 0")
    assert status == 1
    assert terminal == (
        "train_model digits small 0: failed with ZeroDivisionError: division by zero; the traceback is in job.log\n"
    )
    assert "Traceback (most recent call last)" in log
    assert "1 / 0" in log or "ZeroDivisionError" in log


@pytest.mark.parametrize(
    "write",
    [
        "open('/dev/full', 'w', buffering=1).write('x\\n')",
        "raise OSError('Unable to flush file (errno = 28, error message = No space left on device)')",
    ],
    ids=["the system's", "HDF5's"],
)
def test_a_full_disk_is_one_clear_line(tmp_path: Path, write: str) -> None:
    status, terminal, log = run(tmp_path, write)
    assert status == 1
    assert terminal == (
        "train_model digits small 0: the disk is full; free some of it and run snakemake again, "
        "which goes on from what is finished\n"
    )
    assert "Traceback" in log


def test_a_log_is_of_the_last_run(tmp_path: Path) -> None:
    run(tmp_path, "print('first')")
    _, _, log = run(tmp_path, "print('second')")
    assert log == "second\n"
