"""States of a training on disk: whole or absent, of one training alone, and the one before where the last is damaged."""

from pathlib import Path

import numpy as np
import pytest

from graft.checkpoints import Checkpoints

PLACE = {"number": 0, "step": 3, "history": [{"loss": 0.1 + 0.2, "epoch": 1}], "best": None, "stopped": False}


def arrays(value: float) -> dict[str, np.ndarray]:
    return {
        "state0": np.full((2, 3), value, np.float32),
        "state1": np.array(7, np.int64),
        "best0": np.array([1, 2], np.uint32),
    }


@pytest.fixture
def saved(tmp_path: Path) -> Checkpoints:
    checkpoints = Checkpoints(tmp_path / "state", "key")
    for value in (1.0, 2.0, 3.0):
        checkpoints.save(PLACE | {"step": int(value)}, arrays(value))
    return checkpoints


def test_the_last_state_comes_back_to_the_bit(saved: Checkpoints) -> None:
    state = Checkpoints(saved.folder, "key").load()
    assert state is not None
    assert state.place == PLACE | {"step": 3}
    assert state.arrays.keys() == arrays(3).keys()
    for name, value in arrays(3).items():
        assert state.arrays[name].dtype == value.dtype
        assert state.arrays[name].tobytes() == value.tobytes() and state.arrays[name].shape == value.shape


def test_two_are_kept(saved: Checkpoints) -> None:
    assert sorted(path.name for path in saved.folder.iterdir()) == ["2.npz", "3.npz"]
    saved.save(PLACE, arrays(4))
    assert sorted(path.name for path in saved.folder.iterdir()) == ["3.npz", "4.npz"]


@pytest.mark.parametrize(
    "spoil",
    [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data.replace(b"\x40\x40", b"\x40\x41")],
)
def test_of_a_damaged_state_the_one_before_is_used(saved: Checkpoints, spoil: object) -> None:
    last = saved.folder / "3.npz"
    before = last.read_bytes()
    last.write_bytes(spoil(before))  # type: ignore[operator]
    assert last.read_bytes() != before
    state = saved.load()
    assert state is not None and state.place["step"] == 2
    assert state.arrays["state0"][0, 0] == 2.0


def test_without_a_whole_state_there_is_none(saved: Checkpoints, tmp_path: Path) -> None:
    for path in saved.folder.iterdir():
        path.write_bytes(b"PK")
    assert saved.load() is None
    assert Checkpoints(tmp_path / "absent", "key").load() is None


def test_the_states_of_another_training_are_not_used(saved: Checkpoints) -> None:
    other = Checkpoints(saved.folder, "other")
    assert other.load() is None
    other.save(PLACE | {"step": 9}, arrays(9))
    assert (other.load() or (None,))[0]["step"] == 9
    assert (saved.load() or (None,))[0]["step"] == 3


def test_pickles_are_never_read(saved: Checkpoints) -> None:
    class Code:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("run",)

    np.savez(saved.folder / "4.npz", text=np.array([Code()], object), state0=np.zeros(1))
    state = saved.load()
    assert state is not None and state.place["step"] == 3


def test_it_is_time_after_so_many_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("graft.checkpoints.time.monotonic", lambda: now[0])
    checkpoints = Checkpoints(tmp_path, "key", minutes=2)
    assert not checkpoints.due() and checkpoints.cheap() is False
    now[0] += 121
    assert checkpoints.due() and checkpoints.cheap()
    checkpoints.save(PLACE, arrays(1))
    assert not checkpoints.due()


def test_what_is_cleared_is_gone(saved: Checkpoints) -> None:
    saved.clear()
    assert not saved.folder.exists()
    saved.clear()
