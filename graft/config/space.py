"""What is searched: the dimensions of a tuning space, when they exist, and whether they fit the model that they are for."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from graphlib import CycleError
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from graft.config.base import Count, Positive, Strict
from graft.problems import describe
from graft.spec import as_scalar, chosen_spec, get_path, holds, in_order, path_of, path_parts, same
from graft.words import nearest

if TYPE_CHECKING:
    from graft.config.models import Model

Problem = tuple[tuple[str | int, ...], str]
"""A place, from where the reader of the problem stands, and what is wrong there."""

DEEPEST = 5
"""How deep lists and mappings may lie in a choice: deeper than in any field, and an end to those that hold themselves."""
LARGEST = 10**15
"""Beyond this, Optuna's floating-point numbers do not tell whole ones apart."""


def _error(text: str) -> PydanticCustomError:
    return PydanticCustomError("graft", "{text}", {"text": text})


def _plain(value: Any, depth: int = 0) -> Any:
    if depth > DEEPEST:
        raise _error(f"lists and mappings lie more than {DEEPEST} deep in each other")
    if isinstance(value, list):
        return [_plain(entry, depth + 1) for entry in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(entry, depth + 1) for key, entry in value.items()}
    if not isinstance(value, str | int | float | None) or value in (math.inf, -math.inf) or value != value:
        raise _error(f"{value!r} is not text, a finite number, true or false")
    return value


def shown(value: Any) -> str:
    """A plain value as a study file may have it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


Plain = Annotated[Any, BeforeValidator(_plain)]
Values = Annotated[
    list[Plain],
    Field(min_length=1),
    BeforeValidator(lambda value: value if isinstance(value, list) else [value], json_schema_input_type=Any),
]


class _Dimension(Strict):
    """A field that trials set: all of them, or those in which other parameters of the space have certain values."""

    when: Annotated[dict[str, Values], Field(min_length=1)] | None = None
    otherwise: Plain = None

    @model_validator(mode="after")
    def _otherwise_of_something(self) -> "_Dimension":
        if self.when is None and self.otherwise is not None:
            raise _error("otherwise needs when: it is for the trials in which that does not hold")
        return self


class Choices(_Dimension):
    """Some values, without an order."""

    choices: Annotated[list[Plain], Field(min_length=1)]

    @field_validator("choices")
    @classmethod
    def _differ(cls, choices: list[Any]) -> list[Any]:
        for one, other in itertools.combinations(choices, 2):
            if same(one, other):
                raise _error(f"names {shown(one)} more than once")
            if as_scalar(one) == as_scalar(other):
                raise _error(f"{shown(one)} and {shown(other)} are the same to Optuna; leave out either")
        return choices

    @property
    def ends(self) -> list[Any]:
        """The values that are tried on the model before anything runs."""
        return list(self.choices)

    @property
    def points(self) -> int | None:
        """How many values there are; ``None`` of infinitely many."""
        return len(self.choices)

    @property
    def extent(self) -> str:
        """The values in words."""
        return f"one of {', '.join(map(shown, self.choices))}"

    def takes(self, value: Any) -> bool:
        """Whether a trial can have this value."""
        return any(same(value, one) for one in self.choices)


class _Range(_Dimension):
    log: bool = False
    low: float
    high: float
    step: float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "_Range":
        if self.low >= self.high:
            raise _error("low must be less than high")
        if self.log and self.low <= 0:
            raise _error("log: true needs low above 0")
        if self.step is None:
            return self
        if self.log:
            raise _error("log: true and step do not go together; leave out either")
        steps = self._steps(self.high)
        if steps > LARGEST:
            raise _error(f"step: {self.step} makes more than {LARGEST:.0g} steps")
        if steps < 1:
            raise _error(f"step: {self.step} is more than lies between low: {self.low} and high: {self.high}")
        if steps % 1:
            whole = type(self.high)(self._exact(self.low) + int(steps) * self._exact(self.step))
            raise _error(f"high: {self.high} is not reached in steps of {self.step}; write high: {whole}")
        return self

    @staticmethod
    def _exact(number: float) -> Fraction:
        return Fraction(str(number))  # by its decimal digits, as Optuna counts steps

    def _steps(self, value: float) -> Fraction:
        """How many steps ``value`` lies above ``low``; of a range without steps, none."""
        return (self._exact(value) - self._exact(self.low)) / self._exact(self.step) if self.step else Fraction(0)

    @property
    def ends(self) -> list[Any]:
        """The values that are tried on the model before anything runs."""
        return [self.low, self.high]

    @property
    def points(self) -> int | None:
        """How many values there are; ``None`` of infinitely many."""
        return int(self._steps(self.high)) + 1 if self.step else None

    @property
    def extent(self) -> str:
        """The values in words."""
        number = "a whole number" if isinstance(self.low, int) else "a number"
        return f"{number} from {self.low} to {self.high}" + (f" in steps of {self.step}" if self.step else "")

    def takes(self, value: Any) -> bool:
        """Whether a trial can have this value."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high and self._steps(value) % 1 == 0


class IntRange(_Range):
    """The whole numbers between two, both included."""

    low: Annotated[int, Field(ge=-LARGEST)]
    high: Annotated[int, Field(le=LARGEST)]
    step: Count | None = None

    @property
    def points(self) -> int | None:
        return (self.high - self.low) // (self.step or 1) + 1

    def takes(self, value: Any) -> bool:
        return isinstance(value, int) and super().takes(value)


class FloatRange(_Range):
    """The numbers between two, both included."""

    low: float
    high: float
    step: Positive | None = None


def _dimension(value: Any) -> str:
    if not isinstance(value, Mapping):
        return "choices" if isinstance(value, Choices) else "int" if isinstance(value, IntRange) else "float"
    numbers = value.get("low"), value.get("high"), value.get("step") or 1
    return "choices" if "choices" in value else "int" if all(isinstance(one, int) for one in numbers) else "float"


Dimension = Annotated[
    Annotated[Choices, Tag("choices")] | Annotated[IntRange, Tag("int")] | Annotated[FloatRange, Tag("float")],
    Discriminator(_dimension),
]
Space = Mapping[str, Choices | IntRange | FloatRange]


def _dumped(space: Space) -> dict[str, dict[str, Any]]:
    return {path: dimension.dump() for path, dimension in space.items()}


# -- a space by itself ---------------------------------------------------------------------------------------------------


def condition_problems(space: Space) -> Iterator[Problem]:
    """What is wrong with the paths of a space, and with its conditions."""
    for one, other in itertools.permutations(space, 2):
        if path_parts(other)[: len(path_parts(one))] == path_parts(one):
            yield ("space", one), f"holds {other}, which is tuned too; leave out either"
    problems = [
        (("space", path, "when"), problem)
        for path, dimension in space.items()
        for other, values in (dimension.when or {}).items()
        if (problem := _condition_problem(space, path, other, values))
    ]
    yield from problems
    if not problems:
        try:
            in_order(_dumped(space))
        except CycleError as error:
            first, *rest = reversed(error.args[1])
            yield ("space", first, "when"), f"goes round in a circle: {' needs '.join([first, *rest])}"


def _condition_problem(space: Space, path: str, other: str, values: list[Any]) -> str | None:
    parent = space.get(other)
    if parent is None or other == path:
        return (
            f"{other!r} is not another parameter of the space{nearest(other, [name for name in space if name != path])}"
        )
    if isinstance(parent, FloatRange):
        return f"{other} is a range of any number; a condition is on choices or on a range of whole numbers"
    unmet = [value for value in values if not parent.takes(value)]
    return f"{other} is never {shown(unmet[0])}; it is {parent.extent}" if unmet else None


def point_problems(space: Space, point: Mapping[str, Any]) -> list[str]:
    """Why the space has no trial with these values, which may be some of a trial's."""
    problems = []
    for path, value in point.items():
        if path not in space:
            problems.append(f"{path!r} is not a parameter of the space{nearest(path, space)}")
        elif not space[path].takes(value):
            problems.append(f"{path}: {shown(value)} is not {space[path].extent}")
        elif not holds(space[path].dump(), point):
            when = " and ".join(f"{name}: {_any_of(values)}" for name, values in (space[path].when or {}).items())
            problems.append(f"{path} is for {when} alone; name that too, or leave this out")
    return problems


def _any_of(values: list[Any]) -> str:
    return " or ".join(map(shown, values))


# -- a space of a model --------------------------------------------------------------------------------------------------

FIXED = ("architecture", "datasets", "gpu", "seeds", "tune", "weights", "why")
MISPLACED = "changes what a trial reads; tune fields of train, head or options"
FREEZE = (
    "changes which activations are stored; a model with freeze: none or a list of stages can be tuned among none and "
    "lists; for others, make several models"
)


class _Search(NamedTuple):
    """A model and the space that is searched for it, as it was read and as plain values, and the values to try."""

    model: "Model"
    space: Space
    plain: dict[str, dict[str, Any]]
    order: list[str]
    tried: dict[str, list[Any]]


Troubles = list[tuple[str, str]]
"""What is wrong with a trial: the place in the model, empty for all of it, and the problem."""


def space_problems(model: "Model") -> Iterator[Problem]:
    """What is wrong with a search for this model: paths that lead nowhere, values that a field refuses alone or beside others.

    Each end of a range, each choice and each value that a ``when`` names is tried, and each pair of these that a trial can
    have, as :func:`graft.spec.chosen_spec` sets them; and so is each point that the search starts from.
    """
    if model.tune is None:
        return
    space, plain = model.tune.space, _dumped(model.tune.space)
    search = _Search(model, space, plain, in_order(plain), {path: _tried(space, path) for path in space})
    problems: list[Problem] = [
        (("tune", "space", path), text) for path in plain for text in _path_problems(model, path)
    ]
    problems = problems or [problem for path in search.space for problem in _value_problems(search, path)]
    problems = problems or [*_pair_problems(search), *_start_problems(search, model.tune.start_from or [])]
    yield from dict.fromkeys(problems)


def _tried(space: Space, path: str) -> list[Any]:
    named = [value for dimension in space.values() for value in (dimension.when or {}).get(path, [])]
    ends = space[path].ends
    return ends + [value for value in named if not any(same(value, end) for end in ends)]


def _path_problems(model: "Model", path: str) -> Iterator[str]:
    """Why no trial can set the field at ``path``, whatever to."""
    parts = path_parts(path)
    if parts[0] in FIXED:
        yield MISPLACED
    if path == "train.epochs" and model.tune and model.tune.epochs is not None:
        yield "is what tune.epochs sets for every trial; leave out one of them"
    for k, part in enumerate(parts):
        if isinstance(part, int):
            name = path_of(parts[:k])
            listed = get_path(model.trained, name)
            if not isinstance(listed, list):
                yield f"{name or path} is not a list in this model"
            elif part >= len(listed):
                entries = "1 entry" if len(listed) == 1 else f"{len(listed)} entries"
                yield f"{name} has {entries} in this model, counted from [0]"


def _value_problems(search: _Search, path: str) -> Iterator[Problem]:
    """What is wrong with values of one dimension, however the others are."""
    dimension, place = search.space[path], ("tune", "space", path)
    if not _trials(search, {path: search.tried[path][0]}):
        yield (*place, "when"), "never holds, for its conditions exclude each other"
        return
    troubles = [(value, *trouble) for value in search.tried[path] for trouble in _troubles(search, {path: value})]
    for value, where, problem in troubles:
        if where == path or where not in search.space:
            yield place, _within(where, problem, path)
        elif search.space[where].when is not None:
            yield ("tune", "space", where), problem
        else:
            yield ("tune", "space"), f"{path}: {shown(value)} and {where} do not go together: {problem}"
    if isinstance(dimension, IntRange) and not troubles:
        yield from ((place, text) for text in _whole_problems(search, path, dimension))


def _whole_problems(search: _Search, path: str, dimension: IntRange) -> Iterator[str]:
    """What is wrong with searching whole numbers alone, or each of them."""
    ends, step, gpus = f"low: {dimension.low} and high: {dimension.high}", dimension.step, search.model.gpu or 1
    if step is None and not _troubles(search, {path: dimension.low + 0.5}):
        numbers = f"{dimension.low}.0 and {dimension.high}.0"
        yield f"{ends} search whole numbers only; write {numbers}, for the field takes any number"
    if path == "train.batch_size" and (step or 1) % gpus:
        every = f"step: {step} leaves multiples of gpu: {gpus}" if step else f"{ends} search every whole number"
        yield f"{every}; write choices: multiples of gpu: {gpus}"


def _pair_problems(search: _Search) -> Iterator[Problem]:
    """Which values of two dimensions do not go together."""
    for (one, values), (other, others) in itertools.combinations(search.tried.items(), 2):
        for value, beside in itertools.product(values, others):
            if troubles := _troubles(search, {one: value, other: beside}):
                problem = _within(*troubles[0], one, other)
                text = f"{one}: {shown(value)} and {other}: {shown(beside)} do not go together: {problem}"
                yield ("tune", "space"), text
                break


def _start_problems(search: _Search, points: list[dict[str, Any]]) -> Iterator[Problem]:
    """Which points to start from the model refuses."""
    for k, point in enumerate(points):
        for where, problem in _troubles(search, point):
            yield ("tune", "start_from", k), f"{where}: {problem}" if where else problem


def _within(where: str, problem: str, *paths: str) -> str:
    """A problem by itself, if it is of the field at one of these paths or of what holds it, otherwise with its place."""
    parts = path_parts(where)
    known = not where or any(path_parts(path)[: len(parts)] == parts for path in paths)
    return problem if known else f"{where}: {problem}"


def _trials(search: _Search, fixed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Whole trials in which parameters have these values; none, if their conditions exclude each other.

    In the first, other fields are as the model has them, set or not; in the last, they have values of the space.
    """
    allowed, todo = {path: [value] for path, value in fixed.items()}, list(fixed)
    while todo:
        for parent, wanted in search.plain[todo.pop()].get("when", {}).items():
            before = allowed.get(parent, wanted)
            allowed[parent] = [value for value in before if any(same(value, one) for one in wanted)]
            if not allowed[parent]:
                return []
            todo.append(parent)
    return [_trial(search, allowed, as_in_model) for as_in_model in (True, False)]


def _trial(search: _Search, allowed: Mapping[str, list[Any]], as_in_model: bool) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for path in search.order:
        if not holds(search.plain[path], values):
            continue
        own, dimension = get_path(search.model.trained, path), search.space[path]
        if path in allowed:
            values[path] = next((value for value in allowed[path] if same(value, own)), allowed[path][0])
        elif dimension.takes(own) or (as_in_model and own is not None):
            values[path] = own
        elif not as_in_model:
            values[path] = dimension.ends[0]
    return values


def _troubles(search: _Search, fixed: Mapping[str, Any]) -> Troubles:
    """What is wrong with every trial in which parameters have these values; nothing, if there is none."""
    troubles: Troubles = []
    for values in _trials(search, fixed):
        troubles = _trial_troubles(search, values)
        if not troubles:
            return []
    return troubles


def _trial_troubles(search: _Search, values: Mapping[str, Any]) -> Troubles:
    model, chosen = search.model, chosen_spec(search.model.trained, search.plain, values)
    try:
        trial = type(model).model_validate(chosen)
    except ValidationError as error:
        parted = (text.partition(": ") for text in describe(error, type(model)))
        return [(place, problem) for place, colon, problem in parted]
    if trial.reads != model.reads:
        return [("", FREEZE if any(path_parts(path)[0] == "freeze" for path in values) else MISPLACED)]
    return [
        (where, _difference(search, values, where, value, meant))
        for where, value, meant in _differences(chosen, trial.trained)
    ]


def _differences(chosen: Any, meant: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, Any, Any]]:
    """Where a trial's plain values are not those of the model that they are read as; nothing reads them before the trial."""
    if isinstance(chosen, Mapping) and isinstance(meant, Mapping):
        for key in sorted({*chosen, *meant}):
            yield from _differences(chosen.get(key), meant.get(key), (*place, key))
        yield from ((path_of((*place, key)), None, None) for key in chosen if chosen[key] is None)
    elif chosen != meant:
        yield path_of(place), chosen, meant


def _difference(search: _Search, values: Mapping[str, Any], where: str, value: Any, meant: Any) -> str:
    if value is None and where in values:
        return f"null leaves this out, which then is {shown(meant)}; write that in its place"
    if value is None and where in search.space:
        return f"is {shown(meant)} where its when does not hold; add otherwise: {shown(meant)}, or another value"
    if value is None and meant is None:
        return "is null; leave it out"
    if value is None:
        return f"is left out, and then is {shown(meant)}; name it too"
    if isinstance(meant, Mapping) and where in values:
        return f"{value!r} stands for several fields; name the one to tune, such as {where}.name"
    return f"{shown(value)} is read as {shown(meant)}; write that"
