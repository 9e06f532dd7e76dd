import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from graft.backends import start_backend
from graft.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a module, or an error, in the place of the framework that is imported; settings end with the test."""
    for key in ("KERAS_BACKEND", "XLA_FLAGS", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.setenv(key, os.environ.get(key, ""))

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
            use_deterministic_algorithms=lambda on: told.update(deterministic=on),
        )
    )
    start_backend("torch", threads=3, deterministic=True)
    assert told == {"threads": 3, "deterministic": True}
    assert os.environ["KERAS_BACKEND"] == "torch"


def test_jax_is_told_by_its_flags_and_keeps_those_that_were_set(imports: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    imports(SimpleNamespace())
    monkeypatch.setenv("XLA_FLAGS", "--mine=1")
    start_backend("jax", threads=1, deterministic=True)
    assert os.environ["XLA_FLAGS"].split() == [
        "--mine=1",
        "--xla_cpu_multi_thread_eigen=false",
        "--xla_gpu_deterministic_ops=true",
    ]
    monkeypatch.setenv("XLA_FLAGS", "")
    start_backend("jax", threads=4, deterministic=False)
    assert os.environ["XLA_FLAGS"] == ""


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
