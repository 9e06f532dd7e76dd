"""What is wrong with a study, in words: pydantic's errors as one line each, with key, value, allowed and nearest."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

Location = tuple[str | int, ...]

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


def nearest(word: object, known: Iterable[str]) -> str:
    """The end of an error message: the known word that comes closest, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(str(word), known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; allowed: {', '.join(known)}" if known else "; there are none"


def _children(annotation: Any, key: str | int) -> Iterator[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        if any(isinstance(note, Tag) and note.tag == key for note in arguments[1:]):
            yield arguments[0]
        yield from _children(arguments[0], key)
    elif origin in (Union, UnionType):
        for argument in arguments:
            yield from _children(argument, key)
    elif origin in (dict, list):
        yield arguments[-1]
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel) and key in annotation.model_fields:
        yield annotation.model_fields[str(key)].annotation


def _fields_at(root: type[BaseModel], location: Location) -> list[str]:
    """The keys that are allowed where ``location``, which names unions' tags, ends."""
    places: list[Any] = [root]
    for key in location:
        places = [child for place in places for child in _children(place, key)]
    return [field for place in places if hasattr(place, "model_fields") for field in place.model_fields]


def _path(location: Location, plain: Any) -> str:
    """``location`` as a user wrote it: without the tags of unions, which are no keys."""
    text = ""
    for number, key in enumerate(location):
        if key == "[key]":
            continue
        if isinstance(plain, Mapping) and key not in plain and number < len(location) - 1:
            continue
        if not isinstance(plain, Mapping | list):
            continue
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
        try:
            plain = plain[key]
        except (KeyError, IndexError, TypeError):
            plain = {}
    return text


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _noun(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word.replace('_', ' ')}"


def _text(error: ErrorDetails, root: type[BaseModel]) -> str:
    kind, value, location = error["type"], error["input"], error["loc"]
    context: dict[str, Any] = error.get("ctx", {})
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return f"is not a key here{nearest(location[-1], _fields_at(root, location[:-1]))}"
    if kind == "literal_error":
        allowed = [word.strip("' ") for word in context["expected"].replace(" or ", ", ").split(",")]
        return f"{_shown(value)} is not allowed{nearest(value, allowed)}"
    if kind == "string_pattern_mismatch":
        return f"{_shown(value)} is not a name: 1 to 64 letters, digits, '_' or '-', the first a letter or digit"
    if kind in WANTED:
        text = f"{_shown(value)} is not {WANTED[kind]}"
        number = isinstance(value, str) and value.strip("+-").replace(".", "", 1).isdigit()
        return f"{text}; write {value} without quotes" if number and kind != "string_type" else text
    return f"{_shown(value)} {error['msg'].replace('Input should', 'should')}" if kind != "graft" else error["msg"]


def _lines(error: ErrorDetails, root: type[BaseModel], plain: Any) -> Iterator[tuple[str, str]]:
    location, context = error["loc"], error.get("ctx", {})
    if error["type"] == "problems":
        for rest, text in context["problems"]:
            yield _path((*location, *rest), plain), text
    elif error["type"] == "choice":
        key, allowed, value = context["key"], context["allowed"], error["input"]
        path = _path(location, plain)
        if not isinstance(value, Mapping):
            yield path, f"{_shown(value)} is not a mapping with the key {key!r}"
        elif key not in value:
            yield f"{path}.{key}", f"is required; allowed: {', '.join(allowed)}"
        else:
            noun = _noun(str(location[-1]) if key == "name" else key)
            yield path if key == "name" else f"{path}.{key}", f"{_shown(value[key])} is not {noun}{nearest(value[key], allowed)}"
    else:
        yield _path(location, plain), _text(error, root)


def describe(error: ValidationError, root: type[BaseModel], plain: Any, *, with_paths: bool = True) -> list[str]:
    """Every problem that ``error`` found in ``plain``, the values as they were read, as one line each."""
    lines = (line for details in error.errors() for line in _lines(details, root, plain))
    return list(dict.fromkeys(f"{path}: {text}" if with_paths and path else text for path, text in lines))
