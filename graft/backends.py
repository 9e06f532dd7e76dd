"""The network framework under Keras: the one place that names TensorFlow, JAX or PyTorch."""

import importlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from typing import Any

from graft.errors import UserError

log = logging.getLogger(__name__)

INSTALL = {
    "tensorflow": "run make, or pip install -e '.[cpu]' in the project's folder",
    "jax": "pip install jax",
    "torch": "pip install torch",
}


def load_backend(backend: str, *, threads: int, deterministic: bool, gpus: int = 1) -> Any:
    """Choose Keras' backend and import it, but use it for nothing: processes that are forked then can still start it.

    Raises:
        UserError: the backend is not installed, or cannot train on several GPUs.
    """
    if backend == "torch" and gpus > 1:
        raise UserError(f"gpu: {gpus} with backend: torch is not offered; allowed: 1, or backend: tensorflow or jax")
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if backend == "jax":
        _prepare_jax(threads, deterministic)
    elif backend == "torch" and deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        framework = importlib.import_module(backend)
    except ImportError as error:
        raise UserError(f"backend: {backend} is not installed ({error}); {INSTALL[backend]}") from error
    logging.getLogger(backend).setLevel(logging.WARNING)  # below that they tell of their inner workings
    return framework


def start_backend(backend: str, *, threads: int, deterministic: bool, gpus: int = 1) -> None:
    """Choose Keras' backend, its number of CPU threads, and whether equal seeds give equal bits; once per process.

    The threads of NumPy and its like are those that Snakemake sets in the environment of a job. ``gpus`` is how many one
    network is to be trained on; :func:`parallel` does it.

    Raises:
        UserError: the backend is not installed, or cannot train on several GPUs.
    """
    framework = load_backend(backend, threads=threads, deterministic=deterministic, gpus=gpus)
    if backend == "tensorflow":
        _start_tensorflow(framework, threads, deterministic)
    elif backend == "torch":
        framework.set_num_threads(threads)
        # Some operations on a GPU have no deterministic form, and equal bits are promised on the CPU.
        framework.use_deterministic_algorithms(deterministic, warn_only=True)


def _prepare_jax(threads: int, deterministic: bool) -> None:
    flags = ["--xla_cpu_multi_thread_eigen=false"] if threads == 1 else []
    flags += ["--xla_gpu_deterministic_ops=true"] if deterministic else []
    given = os.environ.get("XLA_FLAGS", "").split()
    os.environ["XLA_FLAGS"] = " ".join([*given, *(flag for flag in flags if flag not in given)])
    os.environ["NPROC"] = str(threads)  # what XLA takes the size of its thread pools on the CPU from
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def _start_tensorflow(tf: Any, threads: int, deterministic: bool) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def device_names() -> list[str]:
    """What Keras computes on, by the names of its backend: ``gpu:0``, ``cuda:0`` or ``cpu:0``."""
    import keras

    if keras.backend.backend() == "torch":  # which keras.distribution does not know
        return [str(keras.ops.zeros(1).device)]
    names: list[str] = keras.distribution.list_devices()
    return names


def _peak_bytes(backend: str) -> Iterator[int]:
    """The most bytes that each device held at a time, as far as the framework counts them: not on the CPU."""
    framework = importlib.import_module(backend)
    if backend == "tensorflow":
        for device in framework.config.list_logical_devices("GPU"):
            with suppress(ValueError):  # not every allocator counts
                yield framework.config.experimental.get_memory_info(device.name)["peak"]
    elif backend == "jax":
        for device in framework.local_devices():
            yield (device.memory_stats() or {}).get("peak_bytes_in_use", 0)
    else:
        yield from map(framework.cuda.max_memory_allocated, range(framework.cuda.device_count()))


def device_facts() -> dict[str, Any]:
    """For a job's ``runtime.json``: backend, devices, and the most memory in MiB that one GPU held at a time for this
    process, where there is one and its memory is counted."""
    import keras

    backend = keras.backend.backend()
    peak = max(_peak_bytes(backend), default=0)
    memory = {"device_peak_memory_mib": round(peak / 2**20, 1)} if peak else {}
    return {"backend": backend, "device": ", ".join(device_names()), **memory}


@cache  # each strategy of TensorFlow keeps communicators of its own
def _distribution(names: tuple[str, ...]) -> Callable[[], AbstractContextManager[Any]]:
    import keras

    if keras.backend.backend() == "jax":
        scope: Callable[[], AbstractContextManager[Any]] = keras.distribution.DataParallel(devices=list(names)).scope
    else:
        scope = importlib.import_module("tensorflow").distribute.MirroredStrategy(list(names)).scope
    return scope


@contextmanager
def parallel(gpus: int) -> Iterator[Callable[[Any], None]]:
    """Within the block, networks are built, compiled and fitted on so many GPUs, which share out each batch evenly.

    So the rows of every batch must be a multiple of ``gpus``. Yields a function that takes the network once it is built:
    its BatchNormalization then sees the whole batch, as on one GPU. Outside the block, predict with a new ``keras.Model``
    of the network's input and output: on TensorFlow, ``predict_on_batch`` of the network itself would give each row once
    for each GPU. One GPU, or a machine without any, changes nothing.

    Raises:
        UserError: there are GPUs, but fewer than ``gpus``.
    """
    import keras

    names = device_names()[:gpus] if gpus > 1 else ["any"]
    if names == ["cpu:0"]:
        log.info("gpu: %d, and there is none: trains on the CPU", gpus)
    elif len(names) < gpus:
        raise UserError(f"gpu: {gpus} are asked for, and {keras.backend.backend()} finds {len(names)}")
    if len(names) == 1:
        yield lambda network: None
        return
    synchronized: list[Any] = []

    def synchronize(network: Any) -> None:
        if keras.backend.backend() != "tensorflow":
            return  # JAX computes as on one device
        for layer in network._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True
                synchronized.append(layer)

    with _distribution(tuple(names))():
        try:
            yield synchronize
        finally:
            for layer in synchronized:
                layer.synchronized = False  # so that what is saved is the network of one GPU
