import json
import os
import platform
import sys
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from graft.backends import device_facts
from graft.runtime import Stopwatch


def test_a_report_says_what_a_job_cost_and_where_it_ran() -> None:
    report = Stopwatch().report()
    assert report["wall_seconds"] >= 0
    assert report["cpu_seconds"] > 0
    assert report["machine"]["cores"] == os.cpu_count()
    assert report["machine"]["python"] == platform.python_version()


def test_memory_is_in_mebibytes() -> None:
    block = np.ones(64 * 2**17)
    before = Stopwatch().report()["peak_memory_mib"]
    assert block.nbytes / 2**20 < before < 100_000


def test_versions_are_of_the_packages_that_are_installed() -> None:
    versions = Stopwatch().report()["versions"]
    assert versions["keras"] == version("keras")
    assert versions["numpy"] == np.__version__
    assert None not in versions.values()


def test_facts_are_added_and_all_of_it_is_plain() -> None:
    report = Stopwatch().report(epochs=3, device="cpu:0")
    assert (report["epochs"], report["device"]) == (3, "cpu:0")
    assert json.loads(json.dumps(report)) == report


GPUS = {"/device:GPU:0": 3 * 2**20, "/device:GPU:1": 5 * 2**20 + 2**19}
"""The peak of each, in bytes."""


def fake_tensorflow(peaks: dict[str, int]) -> Any:
    """As much of TensorFlow as is asked for memory; a device that it does not count is an error, as there."""

    def get_memory_info(device: str) -> dict[str, int]:
        if not peaks[device]:
            raise ValueError(f"Allocator stats not available for device '{device}'")
        return {"current": 0, "peak": peaks[device]}

    devices = [SimpleNamespace(name=name) for name in peaks]
    return SimpleNamespace(
        config=SimpleNamespace(
            list_logical_devices=lambda kind: [device for device in devices if kind in device.name],
            experimental=SimpleNamespace(get_memory_info=get_memory_info),
        )
    )


def fake_jax(peaks: dict[str, int]) -> Any:
    """As much of JAX: what it does not count is None."""

    def device(peak: int) -> Any:
        return SimpleNamespace(memory_stats=lambda: {"bytes_in_use": 0, "peak_bytes_in_use": peak} if peak else None)

    return SimpleNamespace(local_devices=lambda: list(map(device, peaks.values())))


def fake_torch(peaks: dict[str, int]) -> Any:
    """As much of PyTorch, which has GPUs only."""
    gpus = [peak for peak in peaks.values() if peak]
    return SimpleNamespace(
        cuda=SimpleNamespace(device_count=lambda: len(gpus), max_memory_allocated=lambda number: gpus[number])
    )


@pytest.mark.parametrize(
    ("peaks", "memory"),
    [
        (GPUS, {"device_peak_memory_mib": 5.5}),
        ({"/device:CPU:0": 0}, {}),
        ({"/device:GPU:0": 0}, {}),
    ],
    ids=["two GPUs", "CPU", "not counted"],
)
@pytest.mark.parametrize(
    ("backend", "fake"), [("tensorflow", fake_tensorflow), ("jax", fake_jax), ("torch", fake_torch)]
)
def test_memory_of_devices_is_the_largest_peak_of_one_where_it_is_counted(
    monkeypatch: pytest.MonkeyPatch, backend: str, fake: Any, peaks: dict[str, int], memory: dict[str, float]
) -> None:
    keras = SimpleNamespace(
        backend=SimpleNamespace(backend=lambda: backend),
        distribution=SimpleNamespace(list_devices=lambda: ["any:0", "any:1"]),
        ops=SimpleNamespace(zeros=lambda shape: SimpleNamespace(device="any:0")),
    )
    monkeypatch.setitem(sys.modules, "keras", keras)
    monkeypatch.setitem(sys.modules, backend, fake(peaks))
    device = "any:0" if backend == "torch" else "any:0, any:1"
    assert device_facts() == {"backend": backend, "device": device, **memory}
