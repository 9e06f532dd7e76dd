"""The network framework under Keras: the one place that names TensorFlow, JAX or PyTorch."""

import importlib
import os
from typing import Any

from graft.errors import UserError

INSTALL = {
    "tensorflow": "run make, or pip install -e '.[cpu]' in the project's folder",
    "jax": "pip install jax",
    "torch": "pip install torch",
}


def start_backend(backend: str, *, threads: int, deterministic: bool) -> None:
    """Choose Keras' backend, its number of CPU threads, and whether equal seeds give equal bits; once per process.

    Raises:
        UserError: the backend is not installed.
    """
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if backend == "jax":
        flags = ["--xla_cpu_multi_thread_eigen=false"] if threads == 1 else []
        flags += ["--xla_gpu_deterministic_ops=true"] if deterministic else []
        os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags]).strip()
    try:
        framework = importlib.import_module(backend)
    except ImportError as error:
        raise UserError(f"backend: {backend} is not installed ({error}); {INSTALL[backend]}") from error
    if backend == "tensorflow":
        _start_tensorflow(framework, threads, deterministic)
    elif backend == "torch":
        framework.set_num_threads(threads)
        framework.use_deterministic_algorithms(deterministic)


def _start_tensorflow(tf: Any, threads: int, deterministic: bool) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
