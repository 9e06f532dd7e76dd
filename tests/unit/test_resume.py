"""A training that is killed again and again ends with the bits of one that was left alone."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).with_name("killed_training.py")
KILLS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the program leaves: an undisturbed training, one that was killed, one that was asked to end, one extended."""
    folder = tmp_path_factory.mktemp("trainings")
    done = subprocess.run([sys.executable, PROGRAM, folder, str(KILLS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def same(folder: Path, one: str, other: str) -> None:
    with np.load(folder / one / "weights.npz") as ours, np.load(folder / other / "weights.npz") as theirs:
        assert ours.files == theirs.files and len(ours.files) > 5
        for name in ours.files:
            np.testing.assert_array_equal(ours[name], theirs[name])
    texts = [(folder / name / "history.json").read_text() for name in (one, other)]
    assert texts[0] == texts[1]


def test_killed_at_random_moments(folder: Path) -> None:
    record = json.loads((folder / "killed/record.json").read_text())
    assert record["kills"] == KILLS
    assert len(set(record["places"])) > KILLS // 2, "kills came at different places"
    same(folder, "whole", "killed")


def test_asked_to_end(folder: Path) -> None:
    record = json.loads((folder / "asked/record.json").read_text())
    assert record["error"].startswith("stopped by SIGTERM in epoch ")
    assert record["states"] >= 1 and record["seconds"] < 30
    same(folder, "whole", "asked")


def test_extended_to_more_epochs(folder: Path) -> None:
    history = json.loads((folder / "long/history.json").read_text())
    assert len(history) == 4
    same(folder, "long", "extended")
