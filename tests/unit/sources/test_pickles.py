import copyreg
import io
import pickle
import re
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.errors import UserError
from graft.sources.base import open_source
from graft.sources.pickles import MAX_OPCODES, PLAIN, DataUnpickler, Stateful
from graft.sources.torch_file import parse_state
from tests.unit.sources.published import CIFAR10_META, python2_pickle, tar_gz


class Made(Stateful):
    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments


class Example(DataUnpickler):
    KIND = "an example"
    OPCODES = PLAIN + pickle.SHORT_BINSTRING + pickle.BINSTRING + pickle.BINUNICODE
    NAMES = {("example", "made"): Made, ("example", "kind"): "a kind"}


def load(opcodes: bytes) -> Any:
    return Example(io.BytesIO(b"\x80\x02" + opcodes + b".")).load()


MADE, KIND = b"cexample\nmade\n", b"cexample\nkind\n"


# -- data ----------------------------------------------------------------------------------------------------------------

DATA = [None, True, [], (), {}, [1, 255, 65535, -1, 2**40], {"a": [1, (2,)], "b": ((1, 2), (1, 2, 3), (1, 2, 3, 4))}]


@pytest.mark.parametrize("value", DATA, ids=repr)
def test_plain_data_come_as_pickle_gives_them(value: Any) -> None:
    assert Example(io.BytesIO(pickle.dumps(value, 2))).load() == value


def test_strings_of_python_2_come_as_bytes() -> None:
    assert load(b"U\x05caf\xc3\xa9") == "café".encode()


def test_a_string_may_be_in_several_places() -> None:
    assert load(b"(U\x01aq\x01h\x01h\x01t") == (b"a", b"a", b"a")


def test_a_name_gives_its_stand_in_with_the_arguments_and_state_of_the_file() -> None:
    made = load(MADE + b"(" + KIND + b"K\x01tR}U\x01aK\x02sb")
    assert isinstance(made, Made)
    assert (made.arguments, made.state) == (("a kind", 1), {b"a": 2})


def test_nothing_that_is_named_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.__import__", lambda name, *_: pytest.fail(f"imports {name}"))
    with pytest.raises(pickle.UnpicklingError, match=r"it names antigravity\.fly, which an example has no use for"):
        load(b"cantigravity\nfly\n")


def test_a_name_is_shown_in_one_short_line() -> None:
    with pytest.raises(pickle.UnpicklingError) as error:
        load(b"cos\r\x1b[2J" + b"x" * 10**6 + b"\nsystem\n")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 200


def is_refused(code: int) -> bool:
    try:
        load(bytes([code]))
    except Exception as error:
        return re.fullmatch(r"it has the opcode \w+, which an example has no use for", str(error)) is not None
    return False


def test_every_other_opcode_is_refused() -> None:
    assert {code for code in range(256) if not is_refused(code)} == set(Example.OPCODES)


def test_the_opcode_that_is_refused_is_named() -> None:
    with pytest.raises(pickle.UnpicklingError, match="it has the opcode STACK_GLOBAL,"):
        load(b"U\x02osU\x06system\x93")


UNREACHABLE = {
    "calls a string": b"U\x01a)R",
    "calls a number": b"K\x01)R",
    "calls a method's name": b"U\x04evalU\x011\x85R",
    "calls what was made": MADE + b")R)R",
    "sets the state of a dictionary": b"}}U\x01aK\x01sb",
    "sets the state of a list": b"]K\x01b",
    "sets the state of a string": b"U\x01a}b",
    "sets the state of a stand-in": MADE + b"}U\x05stateK\x01sb",
    "has a tuple as a key": b"}(K\x01tK\x01s",
    "has a tuple among its keys": b"}(U\x01aK\x01)K\x01u",
    "has numbers as keys": b"}(K\x01K\x01K\x02K\x02u",
    "has a list twice": b"(]q\x01h\x01t",
    "has a dictionary twice": b"(}q\x01h\x01t",
    "has a tuple twice": b"((tq\x01h\x01t",
    "has a list in itself": b"]q\x01h\x01a",
    "has what was made twice": b"(" + MADE + b")Rq\x01h\x01t",
    "has a list twice, by a far index": b"(]r\0\1\0\0j\0\1\0\0t",
}


@pytest.mark.parametrize("opcodes", UNREACHABLE.values(), ids=UNREACHABLE)
def test_only_stand_ins_are_called_or_set_and_the_rest_is_a_tree(opcodes: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"^it (calls|sets|has) "):
        load(opcodes)


def test_a_state_sets_no_attribute() -> None:
    made = load(MADE + b")R}(U\x09argumentsK\x01U\x0c__setstate__K\x02ub")
    assert made.arguments == ()
    assert vars(made) == {"arguments": (), "state": {b"arguments": 1, b"__setstate__": 2}}


# -- attacks, by way of the two formats ----------------------------------------------------------------------------------


def as_cifar(opcodes: bytes, folder: Path) -> None:
    tar_gz(folder / "cifar-10-python.tar.gz", {"cifar-10-batches-py/batches.meta": b"\x80\x02" + opcodes + b"."})
    open_source({"name": "cifar10"}).read(folder)


def as_cifar_batch(opcodes: bytes, folder: Path) -> None:
    files = {"batches.meta": python2_pickle(CIFAR10_META), "data_batch_1": b"\x80\x02" + opcodes + b"."}
    path = folder / "cifar-10-python.tar.gz"
    tar_gz(path, {f"cifar-10-batches-py/{name}": data for name, data in files.items()})
    list(open_source({"name": "cifar10"}).read(folder).samples)


def as_torch_file(opcodes: bytes, folder: Path) -> None:
    parse_state(b"\x80\x02" + opcodes + b".", "weights.pth")


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def line(value: str) -> bytes:
    return b"S" + repr(value).encode() + b"\n"


def command(canary: Path) -> str:
    return f"touch {canary}"


EXPLOITS: dict[str, Callable[[Path], bytes]] = {
    "os.system by GLOBAL": lambda c: b"cos\nsystem\n(" + text(command(c)) + b"tR",
    "os.system by GLOBAL, its command a byte string": lambda c: b"cos\nsystem\n(" + line(command(c)) + b"tR",
    "posix.system by STACK_GLOBAL": lambda c: b"\x8c\x05posix\x8c\x06system\x93" + text(command(c)) + b"\x85R",
    "os.system by INST": lambda c: b"(" + text(command(c)) + b"ios\nsystem\n",
    "subprocess.Popen by OBJ": lambda c: b"(csubprocess\nPopen\n(" + text("touch") + text(str(c)) + b"lo",
    "subprocess.Popen by NEWOBJ": lambda c: b"csubprocess\nPopen\n(" + text("touch") + text(str(c)) + b"l\x85R",
    "pathlib.Path by NEWOBJ_EX": lambda c: b"cpathlib\nPath\n" + text(str(c)) + b"\x85}\x92",
    "eval": lambda c: b"cbuiltins\neval\n(" + text(f"open({str(c)!r}, 'w')") + b"tR",
    "eval, by its name in Python 2": lambda c: b"c__builtin__\neval\n(" + text(f"open({str(c)!r}, 'w')") + b"tR",
    "NumPy's reader of files": lambda c: b"cnumpy\nfromfile\n(" + text(str(c)) + b"tR",
    "NumPy's writer of files": lambda c: b"cnumpy\nsavetxt\n(" + text(str(c)) + b"]tR",
    "NumPy's loader of pickles": lambda c: b"cnumpy\nload\n(" + text(str(c)) + b"tR",
    "NumPy's own name of today": lambda c: b"cnumpy._core.multiarray\n_reconstruct\n(" + text(str(c)) + b"tR",
    "a name behind a name": lambda c: b"cnumpy\nndarray.__class__\n(" + text(str(c)) + b"tR",
    "an extension": lambda c: b"\x82\xf0(" + text(command(c)) + b"tR",
    "an extension of two bytes": lambda c: b"\x83\xf0\x00(" + text(command(c)) + b"tR",
    "an extension of four bytes": lambda c: b"\x84\xf0\x00\x00\x00(" + text(command(c)) + b"tR",
    "a persistent id": lambda c: b"P" + str(c).encode() + b"\n",
    "a buffer from outside": lambda c: b"\x97",
    "a state that is a method": lambda c: b"ccollections\nOrderedDict\n)R}" + text("__setstate__") + b"cos\nsystem\nsb" + text(command(c)) + b"b",
}  # fmt: skip
RUN = [name for name in EXPLOITS if name.startswith(("os.", "posix.", "subprocess.", "eval", "an ext"))]


@pytest.fixture
def extension() -> Any:
    copyreg.add_extension("os", "system", 0xF0)
    yield
    copyreg.remove_extension("os", "system", 0xF0)


@pytest.mark.parametrize("read", [as_cifar, as_cifar_batch, as_torch_file])
@pytest.mark.parametrize("exploit", EXPLOITS.values(), ids=EXPLOITS)
def test_an_exploit_is_refused_and_runs_nothing(
    tmp_path: Path, extension: Any, exploit: Callable[[Path], bytes], read: Callable[[bytes, Path], None]
) -> None:
    canary = tmp_path / "canary"
    with pytest.raises(UserError, match=r": it (has the opcode|names|has a storage) ") as error:
        read(exploit(canary), tmp_path)
    assert not canary.exists()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", RUN)
def test_such_an_exploit_would_have_run(tmp_path: Path, extension: Any, name: str) -> None:
    canary = tmp_path / "canary"
    made = pickle.loads(b"\x80\x02" + EXPLOITS[name](canary) + b".")
    if hasattr(made, "wait"):
        made.wait()
    assert canary.exists()


HUGE = struct.pack("<I", 2**31 - 1)


def folded(levels: int) -> bytes:
    """Tuples of the tuple before, twice: some bytes a level, and twice as many places."""
    return b")" + b"".join(b"q%ch%c\x86" % (level, level) for level in range(1, levels))


BOMBS = {
    "a string of two gigabytes": b"T" + HUGE + b"a",
    "a text of four gigabytes": b"X\xff\xff\xff\xff" + b"a",
    "a text of a long length": b"\x8d" + b"\xff" * 8,
    "bytes of two gigabytes": b"B" + HUGE,
    "bytes to be filled": b"\x96" + b"\x00\x00\x00\x00\x00\x01\x00\x00",
    "a frame of a terabyte": b"\x95" + b"\x00\x00\x00\x00\x00\x01\x00\x00",
    "a number of two gigabytes": b"\x8b" + HUGE,
    "a number of a million digits": b"I" + b"9" * 10**6 + b"\n",
    "a long number of a million digits": b"L" + b"9" * 10**6 + b"L\n",
    "the last index of the memo": b"}r\xff\xff\xff\xff",
    "an index of the memo without a value": b"j\xff\xff\xff\xff",
    "values doubled on the stack": b"](" + b"2" * 10**5 + b"e",
    "tuples that unfold": folded(100),
    "tuples that unfold, as a key": b"}" + folded(100) + b"K\x01s",
    "a list of itself": b"]q\x01" + b"h\x01a" * 1000,
    "half a million lists": b"]" * 500_000,
    "half a million marks": b"(" * 500_000,
    "lists in lists": b"]" * 10**5 + b"a" * (10**5 - 1),
    "tuples in tuples": b")" + b"\x85" * 10**5,
    "tuples in tuples, as a key": b"})" + b"\x85" * 390_000 + b"K\x01s",
    "tuples in tuples, as a persistent id": b")" + b"\x85" * 10**5 + b"Q",
    "tuples in tuples, as labels": b"}(U\x06labels)" + b"\x85" * 10**5 + b"U\x04data)" + b"\x85" * 10**5 + b"u",
    "numbers of one hash, as keys": b"}("
    + b"".join(b"\x8a\x0b" + (k * (2**61 - 1)).to_bytes(11, "little") + b"N" for k in range(10**5))
    + b"u",
}


@pytest.mark.parametrize("read", [as_cifar_batch, as_torch_file])
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_bomb_takes_neither_time_nor_memory(tmp_path: Path, bomb: bytes, read: Callable[[bytes, Path], None]) -> None:
    start = time.process_time()
    with pytest.raises(UserError) as error:
        read(bomb, tmp_path)
    assert time.process_time() - start < 60, "seconds on a busy machine; a bomb that goes off takes hours"
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("name", [name for name in BOMBS if re.search("gigabytes|terabyte|long length|memo", name)])
def test_what_a_file_claims_takes_no_memory(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(UserError):
            parse_state(b"\x80\x02" + BOMBS[name] + b".", "weights.pth")
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


def test_as_many_opcodes_as_a_file_may_have_are_read() -> None:
    fixed = 3  # PROTO, EMPTY_LIST, STOP
    ones = (MAX_OPCODES - fixed) // 2
    assert sum(load(b"]" + b"K\x01a" * ones)) == ones
    with pytest.raises(pickle.UnpicklingError, match="it has more than 400,000 opcodes"):
        load(b"]" + b"K\x01a" * (ones + 1))


def test_the_published_files_stay_below_that() -> None:
    rows = 50_000  # CIFAR-100's training images
    names = [b"bos_taurus_s_%06d.png" % row for row in range(rows)]
    labels = np.arange(rows) % 100
    table = {b"filenames": names, b"fine_labels": labels.tolist(), b"coarse_labels": (labels % 20).tolist()}
    assert Example(io.BytesIO(python2_pickle(table))).load() == table
