"""A whole study, and what follows from it: runs, members, folders."""

from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from graft.config.base import (
    Count,
    Name,
    OnDatasets,
    Seed,
    Strict,
    each_differs,
    short_hash,
)
from graft.config.checks import study_problems
from graft.config.data import Dataset
from graft.config.ensembles import Ensemble, Member, Other
from graft.config.figures import Figures
from graft.config.limits import Limits
from graft.config.models import AnyModel, Backbone
from graft.config.reference import Reference


class Features(Strict):
    """How activations of frozen parts are stored."""

    dtype: Literal["float16", "float32"] = "float32"


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
    features: Features | None = None
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    models: Annotated[dict[Name, AnyModel], Field(min_length=1)]
    ensembles: dict[Name, Ensemble] = {}

    reference: Reference | None = None
    figures: Figures | None = None
    limits: Limits | None = None

    @field_validator("seeds")
    @classmethod
    def _differ(cls, seeds: list[int]) -> list[int]:
        return each_differs(seeds)

    @model_validator(mode="after")
    def _fits_together(self) -> "Study":
        if problems := study_problems(self):
            raise PydanticCustomError("problems", "problems", {"problems": problems})
        return self

    @cached_property
    def compute(self) -> dict[str, Any]:
        """What decides a job's bits beside its data, its seed and its model."""
        return {"backend": self.backend, "deterministic": self.deterministic, "threads": self.threads}

    @cached_property
    def look(self) -> dict[str, Any]:
        """How figures look, and the files that they are: what the study says of it, and defaults."""
        return (self.figures or Figures()).dump()

    def features_name(self, model: str) -> str:
        """The folder name of a model's frozen activations: backbone, cut, and a hash of all that decides them."""
        backbone = self.models[model]
        assert isinstance(backbone, Backbone)
        stored = [self.features.dump()] if self.features else []
        name = backbone.preset.name if backbone.preset else backbone.architecture
        return f"{name}-{backbone.cut}-{short_hash([backbone.frozen_part, self.compute, *stored])}"

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
            for seed in self.seeds_of(name)
        )

    def seeds_of(self, model: str) -> list[int]:
        """The seeds of a model's runs: its own, or the study's; of a model with folds, the number of each."""
        trained = self.models[model]
        return trained.seeds or (list(range(trained.folds)) if trained.folds else self.seeds)

    @cached_property
    def students(self) -> list[str]:
        """The models that learn from an ensemble."""
        return [name for name, model in self.models.items() if model.distill]

    @cached_property
    def apart(self) -> list[str]:
        """The models that are members of an ensemble only where they are named in full: students, and those with folds."""
        return [name for name, model in self.models.items() if model.distill or model.folds]

    def starts_from(self, run: Run) -> Run | None:
        """The run whose weights another one starts from."""
        weights = self.models[run.model].own_weights
        if weights is None or weights.run is None:
            return None
        return Run(weights.dataset or run.dataset, weights.run, run.seed)

    def sizes(self, dataset: str) -> list[int]:
        """The image sizes, in pixels, of the models that train on a data set."""
        return sorted({self.models[name].image_size for name in self.models_on(dataset)})

    def members(self, ensemble: str, dataset: str) -> list[Member]:
        """What an ensemble combines on a data set: runs, in the order of models and seeds, and then all others."""
        item, members = self.ensembles[ensemble], list[Member]()
        for name in item.models_among(self.models_on(dataset), self.apart):
            seeds = self.seeds_of(name)
            if self.models[name].folds:
                members.append(Member("folds", f"{name} folds", dataset, name, tuple(seeds)))
            else:
                members += [Member("run", f"{name} seed {seed}", dataset, name, (seed,)) for seed in seeds]
        for other in item.others:
            members += self._other_members(other, dataset)
        return members

    def _other_members(self, other: Other, dataset: str) -> list[Member]:
        if other.predictions:
            return [Member("file", str(other.called), dataset, file=other.predictions)]
        if other.trials:
            return [Member("trials", f"{other.trials} trial", dataset, other.trials, most=other.best)]
        if other.snapshots:
            model, most = other.snapshots, other.last
            return [
                Member("snapshots", f"{model} seed {seed} snapshot", dataset, model, (seed,), most)
                for seed in self.seeds_of(model)
            ]
        assert other.run and other.dataset
        return [
            Member("run", f"{other.run} on {other.dataset} seed {seed}", other.dataset, other.run, (seed,))
            for seed in self.seeds_of(other.run)
        ]
