"""A whole study, and what follows from it: runs, members, folders."""

from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from graft.config.base import Count, Name, OnDatasets, Seed, Strict, each_known, named_parts, short_hash, word_or
from graft.config.data import Dataset
from graft.config.models import AnyModel, Backbone
from graft.registry import parts


class Ensemble(OnDatasets):
    """Finished models that are combined, from their saved predictions alone."""

    method: named_parts("graft.ensembles")  # type: ignore[valid-type]
    members: word_or(("all",), "a list of models", list=list[str]) = "all"  # type: ignore[valid-type]

    @field_validator("members")
    @classmethod
    def _are_models(cls, names: str | list[str], info: ValidationInfo) -> str | list[str]:
        return names if isinstance(names, str) else each_known(names, info, "models", "model")

    @property
    def code_modules(self) -> tuple[str, ...]:
        """What a job with this ensemble runs beside the modules that its script imports."""
        return (parts("graft.ensembles")[self.method.name].module,)


class Run(NamedTuple):
    """One training: a model on a data set from one seed."""

    dataset: str
    model: str
    seed: int


class Study(Strict):
    """One study: data sets, models, ensembles, and what holds for all of them."""

    study: Name
    title: str | None = None
    description: str | None = None
    backend: Literal["tensorflow", "jax", "torch"] = "tensorflow"
    deterministic: bool = True
    threads: Count = 4
    seeds: Annotated[list[Seed], Field(min_length=1)] = [0]
    mirror: list[str] | None = None
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    models: Annotated[dict[Name, AnyModel], Field(min_length=1)]
    ensembles: dict[Name, Ensemble] = {}

    @field_validator("seeds")
    @classmethod
    def _differ(cls, seeds: list[int]) -> list[int]:
        if twice := [seed for seed in seeds if seeds.count(seed) > 1]:
            text = f"names {twice[0]} more than once; each run has a seed of its own"
            raise PydanticCustomError("graft", "{text}", {"text": text})
        return seeds

    @model_validator(mode="after")
    def _fits_together(self) -> "Study":
        problems: list[tuple[tuple[str, ...], str]] = []
        for name, ensemble in self.ensembles.items():
            if name in self.models:
                problems.append((("ensembles", name), "a model has this name too; results need names of their own"))
            for dataset in self.datasets_of(ensemble):
                trained = self.models_on(dataset)
                members = trained if ensemble.members == "all" else ensemble.members
                text = f"does not train on {dataset!r}; name under datasets what this ensemble is for"
                problems += [(("ensembles", name), f"{member} {text}") for member in members if member not in trained]
                if not members:
                    problems.append((("ensembles", name), f"no model trains on {dataset!r}"))
        if problems:
            raise PydanticCustomError("problems", "problems", {"problems": problems})
        return self

    @cached_property
    def compute(self) -> dict[str, Any]:
        """What decides a job's bits beside its data, its seed and its model."""
        return {"backend": self.backend, "deterministic": self.deterministic, "threads": self.threads}

    def features(self, model: str) -> str:
        """The folder name of a model's frozen activations: backbone, cut, and a hash of all that decides them."""
        backbone = self.models[model]
        assert isinstance(backbone, Backbone)
        return f"{backbone.architecture}-{backbone.cut}-{short_hash([backbone.frozen_part, self.compute])}"

    def datasets_of(self, item: OnDatasets) -> list[str]:
        """The data sets that a model or an ensemble is for: all, if it names none."""
        return list(self.datasets) if item.datasets is None else item.datasets

    def models_on(self, dataset: str) -> list[str]:
        """The models that train on a data set, in the study's order."""
        return [name for name, model in self.models.items() if dataset in self.datasets_of(model)]

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Every training of the study."""
        return tuple(
            Run(dataset, name, seed)
            for name, model in self.models.items()
            for dataset in self.datasets_of(model)
            for seed in self.seeds
        )

    def sizes(self, dataset: str) -> list[int]:
        """The image sizes, in pixels, of the models that train on a data set."""
        return sorted({self.models[name].image_size for name in self.models_on(dataset)})

    def members(self, ensemble: str, dataset: str) -> list[Run]:
        """The runs that an ensemble combines on a data set: every seed of each member."""
        names = self.ensembles[ensemble].members
        chosen = self.models_on(dataset) if names == "all" else names
        return [Run(dataset, name, seed) for name in chosen for seed in self.seeds]
