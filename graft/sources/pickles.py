"""Reads pickles that hold data and nothing else: an unpickler in which nothing can run.

A pickle is a program, and its opcodes can import and call anything. Each format that is read here admits only the
opcodes and names that its files contain; any other stops it. A name is never imported but has a stand-in, and nothing
else can be called or given a state. What comes out is a tree in which no container is twice, so going through it takes
time and memory in proportion to the file.
"""

import pickle
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

MAX_OPCODES = 400_000
"""Nearly twice as many as the longest published file has, that of the training images of CIFAR-100."""

PLAIN = b"".join(
    [
        *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE),
        *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1),
        *(pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_DICT, pickle.SETITEM, pickle.SETITEMS),
        *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
        *(pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET),
        *(pickle.GLOBAL, pickle.REDUCE, pickle.BUILD),
    ]
)
"""The opcodes by which protocol 2 writes whole numbers, containers and instances; those of strings differ by format."""


class Stateful:
    """A stand-in of which a pickle may set the state; it is kept as it comes."""

    state: Any = None


class _Admitted(dict[int, Callable[[Any], None]]):
    """What each admitted opcode does; counts them as they are looked up."""

    def __init__(self, actions: Mapping[int, Callable[[Any], None]], kind: str) -> None:
        super().__init__(actions)
        self.kind = kind
        self.left = MAX_OPCODES

    def __getitem__(self, code: int) -> Callable[[Any], None]:
        self.left -= 1
        if self.left < 0:
            raise pickle.UnpicklingError(f"it has more than {MAX_OPCODES:,} opcodes")
        return super().__getitem__(code)

    def __missing__(self, code: int) -> Callable[[Any], None]:
        import pickletools

        name = {opcode.code: opcode.name for opcode in pickletools.opcodes}.get(chr(code), f"0x{code:02x}")
        raise pickle.UnpicklingError(f"it has the opcode {name}, which {self.kind} has no use for")


# The one in Python: that in C reserves memory for whatever index or length a pickle claims, before it reads on.
class DataUnpickler(pickle._Unpickler):
    """Reads one format, which a subclass describes; strings of Python 2 come as bytes.

    ``KIND`` is what errors call such a file, ``OPCODES`` are those that it contains, and ``NAMES`` gives the stand-in
    of each name. All errors are those of :mod:`pickle`, or what a wrong operand provokes: any exception.
    """

    KIND: str
    OPCODES: bytes
    NAMES: Mapping[tuple[str, str], Any]

    stack: list[Any]

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="bytes")
        checked = {
            pickle.REDUCE: DataUnpickler._reduce,
            pickle.BUILD: DataUnpickler._build,
            pickle.SETITEM: DataUnpickler._set_item,
            pickle.SETITEMS: DataUnpickler._set_items,
            pickle.BINGET: DataUnpickler._get_near,
            pickle.LONG_BINGET: DataUnpickler._get_far,
        }
        actions = self.dispatch | {code[0]: action for code, action in checked.items()}
        # On the instance, because the count of opcodes is the instance's.
        self.dispatch = _Admitted({code: actions[code] for code in self.OPCODES}, self.KIND)  # type: ignore[misc]

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a name; nothing is imported."""
        try:
            return self.NAMES[module, name]
        except KeyError:
            shown = f"{module}.{name}"[:100].encode("unicode_escape").decode()
            raise pickle.UnpicklingError(f"it names {shown}, which {self.KIND} has no use for") from None

    def _do(self, code: bytes) -> None:
        pickle._Unpickler.dispatch[code[0]](self)  # type: ignore[arg-type]  # typeshed knows another self

    def _is_stand_in(self, value: Any) -> bool:
        return any(value is stand_in for stand_in in self.NAMES.values())

    def _reduce(self) -> None:
        if not self._is_stand_in(self.stack[-2]):
            raise pickle.UnpicklingError("it calls what is not a name")
        self._do(pickle.REDUCE)

    def _build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], Stateful):
            raise pickle.UnpicklingError("it sets the state of what has none")
        self.stack[-1].state = state

    # Other keys can be made to take for ever: tuples in tuples, or numbers of the same hash.
    def _check_keys(self, keys: list[Any]) -> None:
        if not all(isinstance(key, str | bytes) for key in keys):
            raise pickle.UnpicklingError("it has a dictionary whose keys are not strings")

    def _set_item(self) -> None:
        self._check_keys(self.stack[-2:-1])
        self._do(pickle.SETITEM)

    def _set_items(self) -> None:
        self._check_keys(self.stack[::2])
        self._do(pickle.SETITEMS)

    # With containers in more than one place, a file of some hundred bytes unfolds to a tree that no memory holds.
    def _check_got(self) -> None:
        if not isinstance(self.stack[-1], str | bytes | int) and not self._is_stand_in(self.stack[-1]):
            raise pickle.UnpicklingError("it has the same container in two places")

    def _get_near(self) -> None:
        self._do(pickle.BINGET)
        self._check_got()

    def _get_far(self) -> None:
        self._do(pickle.LONG_BINGET)
        self._check_got()
