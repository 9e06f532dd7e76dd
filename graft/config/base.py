"""What every part of a study is made of: strict models, common types, and choices by name."""

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    Tag,
    ValidationInfo,
    create_model,
    field_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from graft.registry import Part, parts
from graft.words import nearest

LAYER = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$"
NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME)]
Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Strict(BaseModel):
    """Unknown keys are refused, text is no number, and a study that was read does not change."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    def dump(self, *without: str) -> dict[str, Any]:
        """Plain values for a job, keys sorted and unset ones left out, for two equal studies dump alike."""
        dumped = self.model_dump(mode="json", exclude_none=True, exclude=set(without))
        sorted_dump: dict[str, Any] = json.loads(json.dumps(dumped, sort_keys=True))
        return sorted_dump


# Types made here at run time are valid to pydantic; mypy cannot see them, hence `valid-type` where they annotate a field.


def options_of(part: Part) -> type[Strict]:
    """The keyword-only parameters of a part's function as a model of their own."""
    hints = get_type_hints(part.function, include_extras=True)
    parameters = inspect.signature(part.function).parameters.values()
    fields: dict[str, Any] = {
        p.name: (hints[p.name], ... if p.default is p.empty else p.default)
        for p in parameters
        if p.kind is p.KEYWORD_ONLY
    }
    return create_model(f"{part.name} options", __base__=Strict, **fields)


def choice(key: str, classes: Mapping[str, type[Strict]], name_of: Callable[[Any], Any] = lambda text: text) -> Any:
    """A union of classes told apart by the text under ``key``, of which ``name_of`` gives the name of a class."""
    tagged = tuple(Annotated[cls, Tag(name)] for name, cls in classes.items())

    def tag(value: Any) -> Any:
        return name_of(value.get(key) if isinstance(value, Mapping) else getattr(value, key, None))

    context: dict[str, Any] = {"key": key, "classes": classes}
    discriminator = Discriminator(
        tag, custom_error_type="choice", custom_error_message="choice", custom_error_context=context
    )
    return Annotated[Union[tagged], discriminator]  # noqa: UP007 (a tuple of classes has no X | Y)


class _NameAlone:
    """Tells the JSON schema of a choice that the name alone may stand for a part without required options."""

    def __init__(self, classes: Mapping[str, type[Strict]]) -> None:
        self.names = [
            name
            for name, cls in classes.items()
            if not any(field.is_required() for key, field in cls.model_fields.items() if key != "name")
        ]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"enum": self.names}, handler(schema)]}


def named(classes: Mapping[str, type[Strict]]) -> Any:
    """A union as :func:`choice` by ``name``, for which the name alone may stand."""
    spell_out = BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value)
    return Annotated[choice("name", classes), spell_out, _NameAlone(classes)]


def word_or(words: tuple[str, ...], shape: str, **others: Any) -> Any:
    """One of ``words``, or what is written in another ``shape``: the types in ``others``, by ``mapping`` and ``list``."""
    tagged = tuple(Annotated[other, Tag(tag)] for tag, other in {"word": Literal[words], **others}.items())

    def check(value: Any) -> Any:
        if isinstance(value, str) and value not in words:
            text = f"{value!r} is not allowed; allowed: {', '.join(words)}, or {shape}"
            raise PydanticCustomError("graft", "{text}", {"text": text})
        return value

    def tag(value: Any) -> str:
        written = "word" if isinstance(value, str) else "list" if isinstance(value, list) else "mapping"
        return written if written in {"word", *others} else next(iter(others))

    return Annotated[Union[tagged], Discriminator(tag), BeforeValidator(check)]  # noqa: UP007 (as above)


def named_parts(package: str) -> Any:
    fields: dict[str, Any] = {name: (Literal[name], ...) for name in parts(package)}
    classes = {name: options_of(part) for name, part in parts(package).items()}
    return named({name: create_model(name, __base__=cls, name=fields[name]) for name, cls in classes.items()})


def short_hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:10]


def each_known(names: list[str], info: ValidationInfo, key: str, noun: str) -> list[str]:
    """Check that ``names`` stand under ``key`` of the study that is being read, each once."""
    known = list((info.context or {}).get(key, names))
    for name in names:
        if name not in known:
            raise PydanticCustomError(
                "graft", "{text}", {"text": f"{name!r} is not a {noun} of this study{nearest(name, known)}"}
            )
    if not names:
        raise PydanticCustomError("graft", "{text}", {"text": f"is empty; it needs at least one {noun}"})
    if twice := [name for name in names if names.count(name) > 1]:
        raise PydanticCustomError("graft", "{text}", {"text": f"names {twice[0]!r} more than once"})
    return names


def each_differs(seeds: list[int]) -> list[int]:
    """Check that each run has a seed of its own."""
    if twice := [seed for seed in seeds if seeds.count(seed) > 1]:
        text = f"names {twice[0]} more than once; each run has a seed of its own"
        raise PydanticCustomError("graft", "{text}", {"text": text})
    return seeds


class OnDatasets(Strict):
    datasets: list[str] | None = None

    @field_validator("datasets")
    @classmethod
    def _exist(cls, names: list[str] | None, info: ValidationInfo) -> list[str] | None:
        return names if names is None else each_known(names, info, "datasets", "data set")
