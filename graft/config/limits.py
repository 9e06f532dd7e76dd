"""A reduced variant of a study: fewer models, images, epochs, seeds and trials, the same stages."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from graft.config.base import Count, Strict, each_known

if TYPE_CHECKING:
    from graft.config.study import Study

Plain = dict[str, Any]


class Limits(Strict):
    """The most that a study does of each."""

    models: Annotated[list[str], Field(min_length=1)] | None = None
    images_per_class: Count | None = None
    epochs: Count | None = None
    seeds: Count | None = None
    trials: Count | None = None

    @field_validator("models")
    @classmethod
    def _exist(cls, names: list[str] | None, info: ValidationInfo) -> list[str] | None:
        return names if names is None else each_known(names, info, "models", "model")


def _at_most(plain: Plain, key: str, limit: int | None) -> None:
    if limit is not None and key in plain:
        plain[key] = min(plain[key], limit)


def _sources(study: "Study", name: str) -> Iterator[str]:
    """The models that another one starts or learns from."""
    model = study.models[name]
    if model.own_weights is not None and model.own_weights.run is not None:
        yield model.own_weights.run
    if model.distill:
        teacher = study.ensembles[model.distill.ensemble]
        yield from (other.run for other in teacher.others if other.run)
        yield from teacher.models_among([*study.models], study.apart)


def _with_sources(study: "Study", names: list[str]) -> list[str]:
    """These models and those that they need, however far, in the study's order."""
    wanted, todo = set(names), list(names)
    while todo:
        found = [name for name in _sources(study, todo.pop()) if name not in wanted]
        wanted.update(found)
        todo += found
    return [name for name in study.models if name in wanted]


def _keep_models(study: "Study", plain: Plain, kept: list[str]) -> None:
    """Leave out the other models, and what is about them alone."""
    plain["models"] = {name: plain["models"][name] for name in kept}
    trained = {name: [model for model in study.models_on(name) if model in kept] for name in study.datasets}
    plain["datasets"] = {name: value for name, value in plain["datasets"].items() if trained[name]}
    ensembles: Plain = {}
    for name, ensemble in study.ensembles.items():
        left = ensemble.within(kept)
        datasets = [
            data for data in study.datasets_of(ensemble) if left.models_among(trained[data], study.apart) or left.others
        ]
        if datasets:
            ensembles[name] = left.dump() | {"datasets": datasets}
    plain["ensembles"] = ensembles
    if "reference" in plain:
        figures = [f for f in plain["reference"]["figures"] if f["of"] in {*kept, *ensembles}]
        plain["reference"]["figures"] = figures
        if not figures:
            del plain["reference"]


def _shorten(model: Plain, limits: Limits) -> None:
    train: Plain = model["train"]
    _at_most(train, "epochs", limits.epochs)
    if "cycles" in train["schedule"]:
        cycles = train["schedule"]["cycles"] = min(train["schedule"]["cycles"], max(train["epochs"], 2))
        train["epochs"] = max(train["epochs"] // cycles, 1) * cycles
    if train.get("warmup_epochs", 0) >= train["epochs"]:
        del train["warmup_epochs"]
    _at_most(train.get("head_first", {}), "epochs", limits.epochs)
    if limits.images_per_class is not None:
        train.pop("steps_per_epoch", None)  # it was made for more images
    tune: Plain = model.get("tune", {})
    _at_most(tune, "trials", limits.trials)
    _at_most(tune, "top_k", limits.trials)
    _at_most(tune, "epochs", limits.epochs)
    if "start_from" in tune:
        tune["start_from"] = tune["start_from"][: limits.trials]
    if "seeds" in model:
        model["seeds"] = model["seeds"][: limits.seeds]


def _thin(dataset: Plain, limit: int) -> None:
    subset: Plain = dataset.setdefault("subset", {})
    subset.pop("fraction", None)
    before: Mapping[str, int] = subset.get("per_class", {})
    subset["per_class"] = {split: min(before.get(split, limit), limit) for split in ("train", "validation", "test")}


def limited(study: "Study") -> Plain:
    """The plain values of ``study`` within its limits, which stay among them for the report to name."""
    limits = study.limits or Limits()
    plain = study.dump()
    _keep_models(study, plain, _with_sources(study, limits.models or list(study.models)))
    for model in plain["models"].values():
        _shorten(model, limits)
    if limits.images_per_class is not None:
        for dataset in plain["datasets"].values():
            _thin(dataset, limits.images_per_class)
    plain["seeds"] = plain["seeds"][: limits.seeds]
    return plain
