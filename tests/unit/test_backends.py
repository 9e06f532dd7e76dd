import importlib
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from graft.backends import device_names, parallel, start_backend
from graft.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
MEMORY = ("XLA_PYTHON_CLIENT_PREALLOCATE", "CUBLAS_WORKSPACE_CONFIG")


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a module, or an error, in the place of the framework that is imported; settings end with the test."""
    for key in ("KERAS_BACKEND", "XLA_FLAGS", "TF_CPP_MIN_LOG_LEVEL", "NPROC", *MEMORY):
        monkeypatch.setenv(key, "")
        monkeypatch.delenv(key)

    def replace(found: Any) -> None:
        def import_module(name: str) -> Any:
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr(importlib, "import_module", import_module)

    return replace


@pytest.mark.parametrize(
    ("backend", "install"), [("tensorflow", "run make, or pip install -e '.[cpu]' in the project's folder"), ("jax", "pip install jax"), ("torch", "pip install torch")]
)  # fmt: skip
def test_a_missing_framework_says_how_to_install_it(imports: Any, backend: str, install: str) -> None:
    imports(ImportError(f"No module named '{backend}'"))
    with pytest.raises(UserError) as error:
        start_backend(backend, threads=1, deterministic=True)
    assert str(error.value) == f"backend: {backend} is not installed (No module named '{backend}'); {install}"


def test_torch_is_told_threads_and_determinism(imports: Any) -> None:
    told: dict[str, Any] = {}
    imports(
        SimpleNamespace(
            set_num_threads=lambda n: told.update(threads=n),
            use_deterministic_algorithms=lambda on, warn_only: told.update(deterministic=on, warns=warn_only),
        )
    )
    start_backend("torch", threads=3, deterministic=True)
    assert told == {"threads": 3, "deterministic": True, "warns": True}
    assert os.environ["KERAS_BACKEND"] == "torch"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"  # without which cuBLAS is not deterministic, says NVIDIA


def test_jax_is_told_by_its_flags_and_keeps_those_that_were_set(imports: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    imports(SimpleNamespace())
    monkeypatch.setenv("XLA_FLAGS", "--mine=1")
    start_backend("jax", threads=1, deterministic=True)
    assert os.environ["XLA_FLAGS"].split() == [
        "--mine=1",
        "--xla_cpu_multi_thread_eigen=false",
        "--xla_gpu_deterministic_ops=true",
    ]
    assert (os.environ["NPROC"], os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"]) == ("1", "false")
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
    start_backend("jax", threads=4, deterministic=False)
    assert [os.environ[key] for key in ("XLA_FLAGS", "NPROC", "XLA_PYTHON_CLIENT_PREALLOCATE")] == ["", "4", "true"]


def test_tensorflow_is_told_threads_and_determinism() -> None:
    code = """
from graft.backends import start_backend
start_backend("tensorflow", threads=2, deterministic=True)
import keras, tensorflow as tf
from tensorflow.python.framework import config
threading = tf.config.threading
print(keras.backend.backend(), threading.get_intra_op_parallelism_threads(),
      threading.get_inter_op_parallelism_threads(), config.is_op_determinism_enabled())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "tensorflow 2 2 True\n", done.stderr


def _keras(backend: str, *devices: str) -> SimpleNamespace:
    """As much of Keras as is asked for devices."""
    return SimpleNamespace(
        backend=SimpleNamespace(backend=lambda: backend),
        distribution=SimpleNamespace(list_devices=lambda: list(devices)) if backend != "torch" else None,
        ops=SimpleNamespace(zeros=lambda shape: SimpleNamespace(device=devices[0])),
    )


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_devices_are_named_with_every_backend(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setitem(sys.modules, "keras", _keras(backend, "cuda:0"))
    assert device_names() == ["cuda:0"]


def test_torch_is_refused_several_gpus_before_it_is_loaded() -> None:
    with pytest.raises(UserError) as error:
        start_backend("torch", threads=1, deterministic=True, gpus=2)
    text = "gpu: 2 with backend: torch is not offered; allowed: 1, or backend: tensorflow or jax"
    assert str(error.value) == text


def test_fewer_gpus_than_a_network_is_to_be_trained_on_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", _keras("jax", "gpu:0", "gpu:1"))
    with pytest.raises(UserError, match=r"^gpu: 4 are asked for, and jax finds 2$"), parallel(4):
        pass


@pytest.mark.parametrize(("gpus", "lines"), [(1, []), (2, ["gpu: 2, and there is none: trains on the CPU"])])
def test_without_a_gpu_a_network_is_trained_as_on_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, gpus: int, lines: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, "keras", _keras("tensorflow", "cpu:0"))
    with caplog.at_level(logging.INFO), parallel(gpus) as synchronize:
        synchronize(object())
    assert caplog.messages == lines


LIGHT = ["config", "study_file", "fingerprint", "predictions", "metrics", "tables", "splits", "prepare", "ensembles", "arrays", "finetune", "features", "registry", "sources"]  # fmt: skip


def test_what_needs_no_framework_imports_none() -> None:
    modules = ", ".join(f"graft.{name}" for name in LIGHT)
    code = f"""
import sys, {modules}
from graft.registry import parts
print(len([parts(p) for p in ("graft.models", "graft.sources", "graft.ensembles")]))
print([name for name in ("keras", "tensorflow", "jax", "torch", "optuna") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "3\n[]\n", done.stderr
