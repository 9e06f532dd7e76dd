"""What is wrong with a study, in words: pydantic's errors as one line each, with key, value, allowed and nearest."""

import re
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from graft.words import closest, nearest

Location = tuple[str | int, ...]

PATTERNS = {
    r"\.(npz|csv)$": "the path of an .npz or .csv file",
    "^[0-9a-f]{64}$": "a SHA-256: 64 hexadecimal digits in lower case",
    "^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$": "the name of a layer: letters, digits, '_', '-' and '.'",
}
A_NAME = "a name: 1 to 64 letters, digits, '_' or '-', the first a letter or digit"

WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "finite_number": "a finite number",
}


def _steps(annotation: Any, key: str | int) -> Iterator[tuple[bool, Any]]:
    """What stands behind ``key`` in a place of this type, and whether ``key`` is written there: a union's tag is not."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        tags = [note.tag for note in arguments[1:] if isinstance(note, Tag)]
        if key in tags:
            yield False, arguments[0]
        elif not tags:
            yield from _steps(arguments[0], key)
    elif origin in (Union, UnionType):
        for argument in arguments:
            yield from _steps(argument, key)
    elif origin in (dict, list):
        yield True, arguments[-1]
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel) and key in annotation.model_fields:
        field = annotation.model_fields[str(key)]
        yield True, Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if get_origin(annotation) in (Annotated, Union, UnionType):
        for argument in get_args(annotation):
            yield from _models(argument)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation


def _walk(root: type[BaseModel], location: Location) -> tuple[Location, list[Any]]:
    """The keys of ``location`` that a user wrote, without the tags of unions, and the types of the place where it ends."""
    places: list[Any] = [root]
    written: Location = ()
    for key in location:
        steps = [step for place in places for step in _steps(place, key)]
        if key != "[key]" and (not steps or any(is_key for is_key, _ in steps)):
            written = (*written, key)
        places = [place for _, place in steps]
    return written, places


def _fields_at(root: type[BaseModel], location: Location) -> list[str]:
    """The keys that are allowed where ``location`` ends."""
    return [field for place in _walk(root, location)[1] for model in _models(place) for field in model.model_fields]


def _path(root: type[BaseModel], location: Location) -> str:
    """``location`` as a user wrote it: dotted, and in brackets what would not be told apart there."""
    text = ""
    for key in _walk(root, location)[0]:
        plain = isinstance(key, str) and re.fullmatch(r"[\w-]+(\.[\w-]+)*", key)
        text += f"{'.' if text else ''}{key}" if plain else f"[{key!r}]"
    return text


def _shown(value: object) -> str:
    words = [word for constant, word in ((None, "null"), (True, "true"), (False, "false")) if value is constant]
    text = words[0] if words else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _noun(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word.replace('_', ' ')}"


def _text(error: ErrorDetails, root: type[BaseModel]) -> str:
    kind, value, location = error["type"], error["input"], error["loc"]
    context: dict[str, Any] = error.get("ctx", {})
    if kind == "missing":
        return "is required"
    if kind in ("extra_forbidden", "invalid_key"):
        return f"is not a key here{nearest(location[-1], _fields_at(root, location[:-1]))}"
    if kind == "literal_error":
        allowed = [word.strip("' ") for word in context["expected"].replace(" or ", ", ").split(",")]
        return f"{_shown(value)} is not allowed{nearest(value, allowed)}"
    if kind == "string_pattern_mismatch":
        return f"{_shown(value)} is not {PATTERNS.get(context['pattern'], A_NAME)}"
    if kind == "too_short":
        least, count = context["min_length"], context["actual_length"]
        return f"has {count} of at least {least} entries" if count else f"is empty; it needs at least {least}"
    if kind in WANTED:
        text = f"{_shown(value)} is not {WANTED[kind]}"
        if kind == "string_type" and not isinstance(value, Mapping | list | None):
            return f"{text}; write it in quotes"
        number = isinstance(value, str) and value.strip("+-").replace(".", "", 1).isdigit()
        return f"{text}; write {value} without quotes" if number else text
    return f"{_shown(value)} {error['msg'].replace('Input should', 'should')}" if kind != "graft" else error["msg"]


def _lines(error: ErrorDetails, root: type[BaseModel]) -> Iterator[tuple[str, str]]:
    location, context = error["loc"], error.get("ctx", {})
    if error["type"] == "problems":
        for rest, text in context["problems"]:
            yield _path(root, (*location, *rest)), text
    elif error["type"] == "choice":
        key, classes, value = context["key"], context["classes"], error["input"]
        path = _path(root, location)
        if not isinstance(value, Mapping):
            yield path, f"{_shown(value)} is not a mapping with the key {key!r}"
        elif key not in value:
            yield f"{path}.{key}", f"is required; allowed: {', '.join(classes)}"
        else:
            noun = _noun(str(location[-1]) if key == "name" else key)
            yield (
                path if key == "name" else f"{path}.{key}",
                f"{_shown(value[key])} is not {noun}{nearest(value[key], classes)}",
            )
            yield from _as_if(error, root, closest(value[key], classes))
    else:
        yield _path(root, location), _text(error, root)


def _as_if(error: ErrorDetails, root: type[BaseModel], meant: str | None) -> Iterator[tuple[str, str]]:
    """What else is wrong with a choice whose name is misspelt, read as what was meant."""
    context = error.get("ctx", {})
    if meant is None:
        return
    try:
        context["classes"][meant].model_validate({**error["input"], context["key"]: meant})
    except ValidationError as further:
        for details in further.errors():
            yield from _lines({**details, "loc": (*error["loc"], meant, *details["loc"])}, root)


def describe(error: ValidationError, root: type[BaseModel]) -> list[str]:
    """Every problem that ``error`` found in values that were read as a ``root``, as one line each."""
    lines = (line for details in error.errors() for line in _lines(details, root))
    return list(dict.fromkeys(f"{path}: {text}" if path else text for path, text in lines))
