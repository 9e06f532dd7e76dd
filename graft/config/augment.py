"""How training images are changed at random, and how many views of an image a prediction looks at."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from graft.config.base import Strict

Alpha = Annotated[float, Field(gt=0, le=100)]
Portion = Annotated[float, Field(gt=0, le=1)]


def _is_flip(value: Any) -> Any:
    if not isinstance(value, bool) and value != "alternate":  # a literal would take 1 for true
        text = f"{value!r} is not allowed; allowed: true, false, alternate"
        raise PydanticCustomError("graft", "{text}", {"text": text})
    return value


def _are_ends(shares: list[float]) -> list[float]:
    if len(shares) != 2 or shares[0] > shares[1]:
        text = f"{shares} is not the least and the most share of an image's area, such as [0.5, 1.0]"
        raise PydanticCustomError("graft", "{text}", {"text": text})
    return shares


def _differ(names: list[str]) -> list[str]:
    if twice := [name for name in names if names.count(name) > 1]:
        raise PydanticCustomError("graft", "{text}", {"text": f"names {twice[0]!r} more than once"})
    return names


TestTime = Annotated[list[Literal["flip", "shift"]], Field(min_length=1), AfterValidator(_differ)]


class RandAugment(Strict):
    """So many operations on each image, of a magnitude on the paper's scale of 0 to 10."""

    number: Annotated[int, Field(ge=1, le=14)]
    magnitude: Annotated[float, Field(ge=0, le=10)]


class Augment(Strict):
    """What is done to training images, in this order; see :func:`graft.augmentation.augment`."""

    flip: Annotated[Literal[True, False, "alternate"], BeforeValidator(_is_flip)] | None = None
    crop: Annotated[int, Field(ge=1, le=256)] | None = None
    crop_fill: Literal["reflect", "zero"] | None = None
    resized_crop: (
        Annotated[list[Portion], Field(json_schema_extra={"minItems": 2, "maxItems": 2}), AfterValidator(_are_ends)]
        | None
    ) = None
    randaugment: RandAugment | None = None
    erase: Portion | None = None
    erase_fill: Literal["mean", "random"] | None = None
    mixup: Alpha | None = None
    cutmix: Alpha | None = None

    @model_validator(mode="after")
    def _does_something(self) -> "Augment":
        for name in ("crop", "erase"):
            if getattr(self, f"{name}_fill") is not None and getattr(self, name) is None:
                raise PydanticCustomError("graft", "{text}", {"text": f"{name}_fill needs {name}"})
        if all(getattr(self, name) is None for name in type(self).model_fields):
            options = ", ".join(name for name in type(self).model_fields if not name.endswith("_fill"))
            raise PydanticCustomError("graft", "{text}", {"text": f"is empty; it needs at least one of {options}"})
        return self
