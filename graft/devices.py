"""The GPUs of this machine: each job has some to itself, whichever study it belongs to."""

import logging
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

from filelock import FileLock, Timeout

from graft.errors import UserError

log = logging.getLogger(__name__)

VISIBLE = "CUDA_VISIBLE_DEVICES"
ANSWER_SECONDS = 60.0  # a driver that has to wake several GPUs takes some
POLL_SECONDS = 1.0


def _uses_gpus(backend: str) -> bool:
    """Whether the framework that is installed was built for NVIDIA's GPUs, by what its packages say of themselves."""
    if backend == "jax":
        return any(point.name.startswith("xla_cuda") for point in entry_points(group="jax_plugins"))
    try:
        return not version(backend).endswith("+cpu")  # TensorFlow without GPUs is tensorflow-cpu
    except PackageNotFoundError:
        return False


def _assigned_otherwise() -> bool:
    """Whether the GPUs of this process, if any, were chosen for it: by SLURM, as parts of one, or as none."""
    chosen = os.environ.get(VISIBLE)
    return "SLURM_JOB_ID" in os.environ or (chosen is not None and (chosen in ("", "-1") or "MIG-" in chosen))


def _gpus() -> dict[str, str]:
    """The UUID of every GPU by its number, both as nvidia-smi has them; none without it, a driver or a GPU.

    Raises:
        UserError: nvidia-smi does not come to an end.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    command = [program, "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=ANSWER_SECONDS).stdout
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"nvidia-smi: no answer in {ANSWER_SECONDS:.0f} s, so a GPU or its driver hangs; "
            f"to train without GPUs, set {VISIBLE}=-1"
        ) from error
    return dict(re.findall(r"^(\d+), (GPU-[\w-]+)$", said, re.MULTILINE))


def _visible(gpus: Mapping[str, str]) -> dict[str, str]:
    """Those of ``gpus`` that CUDA_VISIBLE_DEVICES leaves: numbers or beginnings of UUIDs, up to one that names no GPU.

    As the CUDA Programming Guide has it, section "CUDA Environment Variables".
    """
    chosen = os.environ.get(VISIBLE)
    if chosen is None:
        return dict(gpus)
    left: dict[str, str] = {}
    for name in map(str.strip, chosen.split(",")):
        found = {
            k: uuid for k, uuid in gpus.items() if name == k or (name.startswith("GPU-") and uuid.startswith(name))
        }
        if len(found) != 1:
            break
        left |= found
    return left


def _lock_folder() -> Path:
    """A folder that all studies of this user on this machine share.

    Not XDG_RUNTIME_DIR: that goes when its user logs out, and a study that runs on would lose its locks.

    Raises:
        UserError: it is not this user's alone.
    """
    folder = Path(tempfile.gettempdir()) / f"graft-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise UserError(
            f"{folder}: GPUs are locked here, and it is no folder that you alone may use; delete it, or set TMPDIR to a "
            "folder of yours"
        )
    return folder


def _lock(gpus: Sequence[str], count: int, folder: Path) -> tuple[list[str], ExitStack] | None:
    """Lock ``count`` of ``gpus``, or none of them; returns which, and what unlocks them."""
    # One process at a time, or two that need two GPUs each could find one each for ever.
    with FileLock(folder / "choice.lock"), ExitStack() as locks:
        free: list[str] = []
        for uuid in gpus:
            with suppress(Timeout):
                locks.enter_context(FileLock(folder / f"{uuid}.lock", blocking=False))
                free.append(uuid)
            if len(free) == count:
                return free, locks.pop_all()
    return None


@contextmanager
def lease_gpus(count: int, backend: str, say: Callable[[str], None] = log.info) -> Iterator[None]:
    """Show this process ``count`` GPUs that no other job of this user has, for the time of the block.

    To be entered before the framework is loaded, which finds no others then. Waits until enough are free, and ``say``
    tells that; what a process held that died is free. Where CUDA_VISIBLE_DEVICES names GPUs, it is among those. Does
    nothing where there is no GPU, where ``backend`` was built without them, and where the GPUs of this process were
    chosen for it: in a job of SLURM, or by a CUDA_VISIBLE_DEVICES that names parts of one (MIG) or none.

    Raises:
        UserError: there are GPUs, but fewer than ``count``; nvidia-smi hangs; or the folder of locks is another user's.
    """
    gpus = _visible(_gpus()) if _uses_gpus(backend) and not _assigned_otherwise() else {}
    if not gpus:
        yield
        return
    if count > len(gpus):
        there = f"this machine has {len(gpus)}" if VISIBLE not in os.environ else f"{VISIBLE} leaves {len(gpus)}"
        raise UserError(f"gpu: {count} are asked for, and {there}; ask for fewer in the study")
    folder, waits = _lock_folder(), False
    while (locked := _lock(list(gpus.values()), count, folder)) is None:
        if not waits:
            say(f"waits until {count} of the GPUs of this machine ({', '.join(gpus)}) are free: other jobs have them")
            waits = True
        time.sleep(POLL_SECONDS)
    uuids, locks = locked
    before = os.environ.get(VISIBLE)
    with locks:
        os.environ[VISIBLE] = ",".join(uuids)
        try:
            yield
        finally:
            os.environ.pop(VISIBLE, None) if before is None else os.environ.update({VISIBLE: before})
