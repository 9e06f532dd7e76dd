"""Whether a tuning space fits the model that it is for."""

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from graft.config.tune import Choices, FloatRange, IntRange
from graft.problems import describe
from graft.spec import get_path, set_paths

if TYPE_CHECKING:
    from graft.config.models import Model


def space_problems(model: "Model") -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with a tuning space: paths that lead nowhere, values that a field refuses, pairs that do not fit."""
    space = {path: _ends(dimension) for path, dimension in model.tune.space.items()} if model.tune else {}
    problems: list[tuple[tuple[str, ...], str]] = []
    for path, ends in space.items():
        found = dict.fromkeys(text for value in ends for text in _trial_problems(model, {path: value}))
        dimension = model.tune.space[path] if model.tune else None
        whole = isinstance(dimension, IntRange) and not found
        if whole and not list(_trial_problems(model, {path: ends[0] + 0.5})):
            text = f"low: {ends[0]} and high: {ends[1]} search whole numbers only"
            found[f"{text}; write {ends[0]}.0 and {ends[1]}.0, for the field takes any number"] = None
        if path == "train.batch_size" and whole and (model.gpu or 1) > 1:
            text = f"low: {ends[0]} and high: {ends[1]} search every whole number"
            found[f"{text}; write choices: multiples of gpu: {model.gpu}"] = None
        problems += [(("tune", "space", path), text) for text in found]
    for (one, values), (other, others) in itertools.combinations(space.items(), 2) if not problems else ():
        for value, second in itertools.product(values, others):
            trouble = list(_trial_problems(model, {one: value, other: second}))
            if trouble:
                text = f"{one}: {value} and {other}: {second} do not go together: {trouble[0]}"
                problems.append((("tune", "space"), text))
                break
    yield from problems


def _ends(dimension: Choices | IntRange | FloatRange) -> list[Any]:
    return list(dimension.choices) if isinstance(dimension, Choices) else [dimension.low, dimension.high]


def _trial_problems(model: "Model", values: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a trial that sets these fields."""
    misplaced = "changes what a trial reads; tune fields of train, head or options"
    if any(
        path.partition(".")[0] in ("architecture", "datasets", "gpu", "seeds", "tune", "weights", "why")
        for path in values
    ):
        yield misplaced
        return
    if "train.epochs" in values and model.tune and model.tune.epochs is not None:
        yield "is what tune.epochs sets for every trial; leave out one of them"
        return
    try:
        trial = type(model).model_validate(set_paths(model.trained, values))
    except ValidationError as error:
        for text in describe(error, type(model)):
            place, _, problem = text.partition(": ")
            yield problem if any(f"{path}.".startswith(f"{place}.") for path in values) else text
        return
    if trial.reads != model.reads:
        yield misplaced
    for path, value in values.items():
        if get_path(trial.trained, path) != value:
            yield f"{value!r} stands for several fields; name the one to tune, such as {path}.name"
