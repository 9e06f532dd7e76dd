"""Which images a study uses, how they are prepared, and how they are split."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from graft.config.base import Count, Seed, Share, Strict, named_parts, short_hash
from graft.registry import parts


class Split(Strict):
    """Shares of the images that are held out where the source publishes no such split, by a hash of seed and pixels."""

    validation: Share | None = None
    test: Share | None = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _leaves_some(self) -> "Split":
        if (total := (self.validation or 0) + (self.test or 0)) >= 1:
            raise PydanticCustomError(
                "graft",
                "validation and test sum to {total}; they must leave a share for training, so sum to less than 1",
                {"total": round(total, 6)},
            )
        return self


class PerClass(Strict):
    """The most images of a class in each split."""

    train: Count | None = None
    validation: Count | None = None
    test: Count | None = None


class Subset(Strict):
    """Less than the whole data set: some classes, a fraction of the training images, or a number of images per class."""

    classes: Annotated[list[str], Field(min_length=2)] | None = None
    fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    per_class: PerClass | None = None
    seed: Seed = 0

    @field_validator("classes")
    @classmethod
    def _differ(cls, names: list[str] | None) -> list[str] | None:
        if twice := [name for name in names or [] if (names or []).count(name) > 1]:
            raise PydanticCustomError("graft", "{text}", {"text": f"names {twice[0]!r} more than once"})
        return names

    @model_validator(mode="after")
    def _one_way(self) -> "Subset":
        if self.fraction is not None and self.per_class is not None and self.per_class.train is not None:
            raise PydanticCustomError("graft", "fraction and per_class.train both thin the training split; give one")
        return self


class Dataset(Strict):
    """Images with labels, how they are prepared, how they are split, and what a study leaves out."""

    source: named_parts("graft.sources")  # type: ignore[valid-type]
    split: Split = Split()
    resize: Literal["squash", "crop", "pad"] = "squash"
    interpolation: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = "bicubic"
    max_bad: Annotated[float, Field(ge=0, lt=1)] = 0.01
    leakage: Literal["report", "move", "drop"] = "report"
    subset: Subset | None = None

    @model_validator(mode="after")
    def _splits_fit(self) -> "Dataset":
        published = self.facts["splits"]
        problems = []
        for name in ("validation", "test") if published is not None else ():
            share = getattr(self.split, name)
            if share is None and name not in published:
                problems.append(
                    (("split", name), f"is required, such as 0.1: {self.source.name} publishes no such split")
                )
            if share is not None and name in published:
                problems.append((("split", name), f"{self.source.name} publishes its {name} split; leave this out"))
        if problems:
            raise PydanticCustomError("problems", "problems", {"problems": problems})
        return self

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is known of the source: the ``splits`` that it publishes, its ``licence`` and its ``page``."""
        return parts("graft.sources")[self.source.name].facts

    @cached_property
    def preparation(self) -> dict[str, Any]:
        """How images become arrays."""
        return self.dump("source", "split", "max_bad", "leakage", "subset")

    @cached_property
    def division(self) -> dict[str, Any]:
        """Which images a study uses, and for what."""
        return self.dump("source", "resize", "interpolation")

    @cached_property
    def key(self) -> str:
        """A hash of source and preparation: studies that agree in it share the prepared arrays."""
        return short_hash([self.source.dump(), self.preparation])

    @property
    def code_modules(self) -> tuple[str, ...]:
        """What a job that reads the source runs beside the modules that its script imports."""
        return (parts("graft.sources")[self.source.name].module,)
