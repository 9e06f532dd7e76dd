"""Reads a legacy PyTorch weight file (before the zip format of 1.6) as NumPy arrays, without PyTorch.

Its pickles are read as data (see :mod:`graft.sources.pickles`), and every count is checked against the file's size
before memory is taken.
"""

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from graft.errors import UserError
from graft.sources.pickles import PLAIN, DataUnpickler, Stateful

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


class _Storage(NamedTuple):
    key: str
    dtype: str
    elements: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def _tensor(storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> _Tensor:
    return _Tensor(storage, offset, size, stride)


class _OrderedDict(dict[str, Any], Stateful):
    """What PyTorch hangs on such a dictionary, the versions of its layers, is its state."""

    def __init__(self) -> None:
        super().__init__()


class _Unpickler(DataUnpickler):
    KIND = "a file of weights"
    OPCODES = PLAIN + pickle.BINUNICODE + pickle.BINPERSID
    NAMES = {
        ("collections", "OrderedDict"): _OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("torch", "FloatStorage"): "<f4",
        ("torch", "LongStorage"): "<i8",
    }

    def persistent_load(self, pid: Any) -> _Storage:
        tag, dtype, key, _device, elements, _view = pid
        numbers = tag == "storage" and dtype in ("<f4", "<i8") and isinstance(key, str) and 0 <= elements < 2**40
        if not numbers:
            raise pickle.UnpicklingError("it has a storage that is not one of numbers")
        return _Storage(key, dtype, elements)


def _read_storage(file: BinaryIO, storage: _Storage) -> np.ndarray:
    count = int.from_bytes(file.read(8), "little")
    data = file.read(count * np.dtype(storage.dtype).itemsize) if count == storage.elements else b""
    if len(data) != storage.elements * np.dtype(storage.dtype).itemsize:
        raise ValueError(f"storage {storage.key} is cut short")
    return np.frombuffer(data, storage.dtype)


def _view(tensor: _Tensor, storages: dict[str, np.ndarray]) -> np.ndarray:
    storage = storages[tensor.storage.key]
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.size, tensor.stride, strict=True))
    if min(tensor.offset, *tensor.stride, 0) < 0 or min(tensor.size, default=1) < 1 or last >= storage.size:
        raise ValueError("a tensor reaches beyond its storage")
    strides = [step * storage.itemsize for step in tensor.stride]
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.size, strides, writeable=False)
    if view.size > storage.size:
        raise ValueError("a tensor has more elements than its storage")
    return view


def read_state(path: str | Path, sha256: str) -> dict[str, np.ndarray]:
    """The tensors of a legacy PyTorch state dictionary, by name, with the shapes that they have in PyTorch.

    Raises:
        UserError: the file is missing, is not the one with this ``sha256``, or is not such a dictionary.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: the weights cannot be read ({error.strerror})") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(f"{path}: not the published weights (sha256 is not {sha256}); install the package again")
    return parse_state(data, str(path))


def parse_state(data: bytes, name: str) -> dict[str, np.ndarray]:
    """As :func:`read_state`, from bytes in memory; ``name`` is what errors call them."""
    file = io.BytesIO(data)
    try:
        magic, protocol, system = (_Unpickler(file).load() for _ in range(3))
        if (magic, protocol) != (MAGIC, PROTOCOL) or not system["little_endian"]:
            raise ValueError("it does not start as such a file does")
        tensors = _Unpickler(file).load()
        keys = _Unpickler(file).load()
        declared = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
        if not all(isinstance(key, str) and key in declared for key in keys):
            raise ValueError("it lists a storage that no tensor uses")
        storages = {key: _read_storage(file, declared[key]) for key in keys}
        return {str(key): _view(tensor, storages) for key, tensor in tensors.items()}
    except Exception as error:  # whatever a hostile pickle provokes is the file's fault
        raise UserError(f"{name}: not a legacy PyTorch weight file: {str(error) or 'it is cut short'}") from error
