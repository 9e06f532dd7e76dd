"""The figures that a report published, which a study's own are shown beside."""

from typing import Annotated

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from graft.config.base import Count, Strict

Part = Annotated[float, Field(ge=0, le=1)]


class Metrics(Strict):
    """Published metrics of one split: accuracies as shares, the log loss in nats."""

    top1: Part | None = None
    top5: Part | None = None
    log_loss: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Metrics":
        if not self.dump():
            raise PydanticCustomError("graft", "needs a figure: top1, top5 or log_loss")
        return self


class Figure(Strict):
    """What a report published of a model or an ensemble, and on how many test images."""

    of: str
    dataset: str | None = None
    images: Count | None = None
    test: Metrics | None = None
    validation: Metrics | None = None
    train: Metrics | None = None
    remark: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Figure":
        if not any((self.test, self.validation, self.train)):
            raise PydanticCustomError("graft", "needs figures, under test, validation or train")
        if self.test and self.images is None:
            raise PydanticCustomError("graft", "needs images, the number of test images behind its test figures")
        return self


class Reference(Strict):
    """A report: what it is called, who wrote it, its figures, and what to know about how they came about."""

    title: str
    authors: str | None = None
    date: str | None = None
    remarks: list[str] = []
    figures: Annotated[list[Figure], Field(min_length=1)]
