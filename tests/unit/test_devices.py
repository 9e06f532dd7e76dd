"""Leases of GPUs on machines that are imitated by a program named nvidia-smi, which prints what the real one prints."""

import os
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from graft import devices
from graft.devices import VISIBLE, lease_gpus
from graft.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
UUIDS = [
    "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6",
    "GPU-8a56a4bc-a8a6-4a2c-9c9d-5d1cf6f04a4f",
    "GPU-1f22a253-c329-dfb7-0db4-e005efb6a4c7",
]
NO_DRIVER = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
    "Make sure that the latest NVIDIA driver is installed and running.\n"
)


def _install(folder: Path, name: str, version: str, entry_points: str = "") -> None:
    """What pip leaves of a package beside its code."""
    info = folder / f"{name.replace('-', '_')}-{version.replace('+', '_')}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(entry_points)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes of this one a machine whose nvidia-smi prints these lines, with TensorFlow's build for GPUs."""
    programs, packages, temporary = (tmp_path / name for name in ("programs", "packages", "temporary"))
    for folder in (programs, packages, temporary):
        folder.mkdir()
    _install(packages, "tensorflow", "2.21.0")
    monkeypatch.syspath_prepend(packages)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(packages), str(ROOT)]))
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(devices, "POLL_SECONDS", 0.02)
    for name in (VISIBLE, "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)

    def make(printed: str, code: int = 0, first: str = "") -> None:
        program = programs / "nvidia-smi"
        program.write_text(
            f'#!/bin/sh\n[ "$*" = "--query-gpu=index,uuid --format=csv,noheader" ] || exit 2\n'
            f"{first}\ncat <<'END'\n{printed}END\nexit {code}\n"
        )
        program.chmod(0o755)

    return make


def _listing(count: int) -> str:
    return "".join(f"{k}, {uuid}\n" for k, uuid in enumerate(UUIDS[:count]))


def _said() -> str | None:
    return os.environ.get(VISIBLE)


def test_jobs_that_run_at_once_have_gpus_of_their_own(machine: Callable[..., None]) -> None:
    machine(_listing(3))
    with lease_gpus(1, "tensorflow"):
        assert _said() == UUIDS[0]
        os.environ.pop(VISIBLE)  # as a process beside this one has it
        with lease_gpus(2, "tensorflow"):
            assert _said() == ",".join(UUIDS[1:])
    with lease_gpus(3, "tensorflow"):
        assert _said() == ",".join(UUIDS)
    assert _said() is None


@pytest.mark.parametrize(
    ("visible", "leased"),
    [
        ("2", UUIDS[2]),
        ("2,0", UUIDS[2]),
        (UUIDS[1], UUIDS[1]),
        ("GPU-89", UUIDS[0]),
        ("GPU-8", "GPU-8"),  # of two, so of none
        ("1,-1,0", UUIDS[1]),
        ("7", "7"),
    ],
)
def test_a_gpu_is_leased_among_those_that_cuda_would_see(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch, visible: str, leased: str
) -> None:
    machine(_listing(3))
    monkeypatch.setenv(VISIBLE, visible)
    with lease_gpus(1, "tensorflow"):
        assert _said() == leased
    assert _said() == visible


def test_the_next_one_of_those_named_is_leased_where_the_first_is_taken(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(_listing(3))
    with lease_gpus(1, "tensorflow"):
        monkeypatch.setenv(VISIBLE, "0,2")
        with lease_gpus(1, "tensorflow"):
            assert _said() == UUIDS[2]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLURM_JOB_ID", "1234567"),
        (VISIBLE, ""),
        (VISIBLE, "-1"),
        (VISIBLE, "MIG-GPU-8932f937-d72c-4106-c12f-20bd9faed9f6/1/2"),
        (VISIBLE, "MIG-6f9bb51b-5d5e-5a4c-a0e8-0c1f2b0e1c3d"),
    ],
)
def test_what_was_assigned_otherwise_is_left_alone(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    machine(_listing(1), first="sleep 60")
    monkeypatch.setenv(name, value)
    before = _said()
    with lease_gpus(2, "tensorflow"), lease_gpus(2, "tensorflow"):
        assert _said() == before
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(
    ("printed", "code"), [(NO_DRIVER, 9), ("No devices were found\n", 6), ("Failed to initialize NVML: Unknown Error\n", 255)]
)  # fmt: skip
def test_a_machine_without_a_gpu_that_works_trains_without(
    machine: Callable[..., None], capfd: pytest.CaptureFixture[str], tmp_path: Path, printed: str, code: int
) -> None:
    machine(printed, code)
    with lease_gpus(2, "tensorflow"):
        assert _said() is None
    assert capfd.readouterr() == ("", "")
    assert not list((tmp_path / "temporary").iterdir())


def test_a_machine_without_nvidia_smi_trains_without_gpus(machine: Callable[..., None], tmp_path: Path) -> None:
    with lease_gpus(1, "tensorflow"):
        assert _said() is None


@pytest.mark.parametrize(
    ("backend", "package", "version", "entry_points", "leases"),
    [
        ("torch", "torch", "2.13.0", "", True),
        ("torch", "torch", "2.13.0+cu130", "", True),
        ("torch", "torch", "2.13.0+cpu", "", False),
        ("jax", "jax", "0.10.2", "", False),
        ("jax", "jax-cuda13-pjrt", "0.10.2", "[jax_plugins]\nxla_cuda13 = jax_plugins.xla_cuda13\n", True),
        ("tensorflow", "tensorflow-cpu", "2.21.0", "", False),
    ],
)
def test_a_framework_that_was_built_without_gpus_takes_none(
    machine: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    backend: str,
    package: str,
    version: str,
    entry_points: str,
    leases: bool,
) -> None:
    machine(_listing(1))
    only = tmp_path / "only"
    only.mkdir()
    _install(only, package, version, entry_points)
    monkeypatch.setattr(sys, "path", [str(only)])
    with lease_gpus(1, backend):
        assert _said() == (UUIDS[0] if leases else None)


@pytest.mark.parametrize(
    ("visible", "text"),
    [
        (None, "gpu: 4 are asked for, and this machine has 3; ask for fewer in the study"),
        ("0,1", "gpu: 4 are asked for, and CUDA_VISIBLE_DEVICES leaves 2; ask for fewer in the study"),
    ],
)
def test_more_gpus_than_there_are_is_an_error_and_no_wait(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch, visible: str | None, text: str
) -> None:
    machine(_listing(3))
    if visible:
        monkeypatch.setenv(VISIBLE, visible)
    with pytest.raises(UserError) as error, lease_gpus(4, "tensorflow"):
        pass
    assert str(error.value) == text


def test_an_nvidia_smi_that_hangs_is_an_error(machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    machine(_listing(1), first="exec sleep 60")
    monkeypatch.setattr(devices, "ANSWER_SECONDS", 0.2)
    text = r"^nvidia-smi: no answer in 0 s, so a GPU or its driver hangs; .* set CUDA_VISIBLE_DEVICES=-1$"
    with pytest.raises(UserError, match=text), lease_gpus(1, "tensorflow"):
        pass


HOLD = """
from graft.devices import lease_gpus
with lease_gpus({count}, "tensorflow"):
    print("has it", flush=True)
    input()
"""


def _other_process(count: int) -> "subprocess.Popen[str]":
    """Another study of the user, which holds GPUs until it is killed."""
    code = textwrap.dedent(HOLD.format(count=count))
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout
    assert process.stdout.readline() == "has it\n"
    return process


def test_a_job_waits_for_another_study_and_has_the_gpu_of_one_that_was_killed(machine: Callable[..., None]) -> None:
    machine(_listing(2))
    said: list[str] = []
    with _other_process(1) as other:
        killer = threading.Timer(0.3, other.kill)
        killer.start()
        start = time.monotonic()
        with lease_gpus(2, "tensorflow", said.append):
            assert time.monotonic() - start >= 0.3
            assert _said() == ",".join(UUIDS[:2])
    assert said == ["waits until 2 of the GPUs of this machine (0, 1) are free: other jobs have them"]


def test_two_that_wait_for_two_gpus_each_do_not_hold_one_each(machine: Callable[..., None]) -> None:
    machine(_listing(3))
    with ExitStack() as stack:
        stack.enter_context(lease_gpus(2, "tensorflow"))
        os.environ.pop(VISIBLE)
        waits = threading.Event()
        has = threading.Event()

        def wait() -> None:
            with lease_gpus(2, "tensorflow", lambda line: waits.set()):
                has.set()

        other = threading.Thread(target=wait)
        other.start()
        assert waits.wait(5)
        with lease_gpus(1, "tensorflow", pytest.fail):  # of the third, which the one that waits would else have taken
            assert not has.is_set()
        stack.close()
        assert has.wait(5)
        other.join()


def test_the_locks_are_in_a_folder_that_no_other_user_may_read(machine: Callable[..., None], tmp_path: Path) -> None:
    machine(_listing(1))
    with lease_gpus(1, "tensorflow"):
        (folder,) = (tmp_path / "temporary").iterdir()
        assert folder.name == f"graft-{os.getuid()}"
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("trap", ["link", "dangling link", "file", "open to others", "another user's"])
def test_a_folder_of_locks_that_is_not_the_users_own_is_refused(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trap: str
) -> None:
    machine(_listing(1))
    folder, elsewhere = tmp_path / f"temporary/graft-{os.getuid()}", tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    if trap == "link":
        folder.symlink_to(elsewhere)
    elif trap == "dangling link":
        folder.symlink_to(tmp_path / "nowhere")
    elif trap == "file":
        folder.touch()
    else:
        folder.mkdir(mode=0o700)
    if trap == "open to others":
        folder.chmod(0o770)
    if trap == "another user's":
        owner = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: owner + 1)
        folder.rename(folder.with_name(f"graft-{owner + 1}"))
    text = r"graft-\d+: GPUs are locked here, and it is no folder that you alone may use; delete it,"
    with pytest.raises(UserError, match=text), lease_gpus(1, "tensorflow"):
        pass
    assert not list(elsewhere.iterdir())
