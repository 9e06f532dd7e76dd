"""What is wrong with a study whose parts are each right: whether they fit together."""

from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from operator import attrgetter
from typing import TYPE_CHECKING

from graft.config.ensembles import Ensemble, Member, Other
from graft.config.models import Model
from graft.words import nearest

if TYPE_CHECKING:
    from graft.config.study import Study

Problem = tuple[tuple[str | int, ...], str]
Problems = list[Problem]

NETWORK = ("architecture", "image_size", "options", "weights", "head", "replace_from", "upsample", "test_time")
"""What networks whose weights are averaged agree in."""

ONE_GPU = {
    "train.accumulate": None,
    "train.retries": None,  # which accumulates
    "train.jit": False,
    "train.steps_per_execution": 1,
    **{f"train.optimizer.{clip}": None for clip in ("clipnorm", "global_clipnorm", "clipvalue")},
}
"""What Keras on TensorFlow does with one GPU alone, and the value that switches it off: with several it clips the gradients
of each by themselves, and fails at the rest."""


# -- ensembles -----------------------------------------------------------------------------------------------------------


def _source_problems(study: "Study", other: Other) -> Iterator[str]:
    """What is wrong with where members come from that are no runs of the data set."""
    if other.trials and not study.models[other.trials].tune:
        yield f"trials: {other.trials} is not tuned, so it has none"
    if other.snapshots and study.models[other.snapshots].train.schedule.name != "cosine_cycles":
        yield f"snapshots: {other.snapshots} makes none; its train.schedule has to be cosine_cycles"
    if other.snapshots and study.models[other.snapshots].folds:
        yield f"snapshots: {other.snapshots} has folds, whose snapshots have no validation images in common"
    if other.run and other.dataset not in study.datasets_of(study.models[other.run]):
        yield f"run: {other.run} does not train on {other.dataset!r}"


def _kind_problems(study: "Study", ensemble: Ensemble, dataset: str, members: Sequence[Member]) -> Iterator[str]:
    """Why the method cannot combine members of these kinds."""
    method = ensemble.method.name
    elsewhere = next((member.name for member in members if member.dataset != dataset), None)
    if elsewhere and ensemble.reads != "embeddings":
        yield f"{elsewhere}: of another data set, which method: concat alone can use"
    if ensemble.reads == "predictions":
        folded, whole = (next((m.name for m in members if (m.kind == "folds") == yes), None) for yes in (True, False))
        if folded and whole:
            yield f"{folded} predicts the training images too, and {whole} does not; give all members folds, or none"
    elif odd := next((member for member in members if member.kind != "run"), None):
        yield f"{odd.name}: {method} needs networks that saw the same images, so runs, not {odd.kind}"
    elif ensemble.reads == "weights":
        yield from _average_problems(study, members)


def _member_problems(study: "Study", name: str, dataset: str) -> Iterator[str]:
    """What is wrong with the members of an ensemble on one of its data sets."""
    ensemble, trained = study.ensembles[name], study.models_on(dataset)
    searched = [model for other in ensemble.others if (model := other.trials or other.snapshots)]
    strangers = [m for m in [*ensemble.models_among(trained, study.apart), *searched] if m not in trained]
    for model in strangers:
        yield f"{model} does not train on {dataset!r}; name under datasets what this ensemble is for"
    for other in ensemble.others:
        yield from _source_problems(study, other)
    if strangers:
        return
    members = study.members(name, dataset)
    if not members:
        yield f"has no member on {dataset!r}; models with folds or distill are members where they are named in full"
    names = [member.name for member in members]
    if twice := next((member for member in names if names.count(member) > 1), None):
        yield f"{twice} is a member twice; name it once, and give files names of their own"
    yield from _kind_problems(study, ensemble, dataset, members)


def _average_problems(study: "Study", members: Sequence[Member]) -> Iterator[str]:
    """Why the weights of these networks have no mean that would be a network."""
    (first, one), *rest = {str(member.model): study.models[str(member.model)] for member in members}.items()
    for other, model in rest:
        if differ := [key for key in NETWORK if getattr(model, key, None) != getattr(one, key, None)]:
            yield f"{first} and {other} differ in {differ[0]}; weight_average needs one network and equal first weights"
            return
    own, seeds = one.own_weights, {seed for member in members for seed in member.seeds}
    if len(seeds) > 1 and (one.weights == "none" or (own and own.run)):
        yield "weight_average needs equal first weights: runs of one seed, or published weights"


def _ensemble_problems(study: "Study") -> Iterator[Problem]:
    for name, ensemble in study.ensembles.items():
        if name in study.models:
            yield ("ensembles", name), "a model has this name too; results need names of their own"
        for dataset in study.datasets_of(ensemble):
            for text in _member_problems(study, name, dataset):
                yield ("ensembles", name), text


# -- teachers ------------------------------------------------------------------------------------------------------------


def _teacher_problems(study: "Study", model: Model) -> Iterator[str]:
    """Why a model cannot learn from the ensemble that it names."""
    assert model.distill
    name = model.distill.ensemble
    teacher = study.ensembles.get(name)
    if teacher is None:
        yield f"{name!r} is no ensemble of this study{nearest(name, list(study.ensembles))}"
        return
    for dataset in study.datasets_of(model):
        if dataset not in study.datasets_of(teacher):
            yield f"{name} is not for {dataset!r}, on which this model trains"
    for other in teacher.others:
        if source := other.trials or other.snapshots or other.predictions:
            yield f"of {source}, a member of {name}, predictions are kept alone, and none of training images"


def _needs(study: "Study") -> dict[str, set[str]]:
    """The ensemble that each model learns from, the run that it starts from, and the models that are members of each
    ensemble."""
    needs: dict[str, set[str]] = {}
    for name, model in study.models.items():
        own = model.own_weights
        needs[name] = {*([model.distill.ensemble] if model.distill else []), *([own.run] if own and own.run else [])}
    for name, ensemble in study.ensembles.items():
        trained = [model for dataset in study.datasets_of(ensemble) for model in study.models_on(dataset)]
        elsewhere = {other.run for other in ensemble.others if other.run}
        needs.setdefault(name, set()).update(ensemble.models_among(trained, study.apart), elsewhere)
    return needs


def _distill_problems(study: "Study") -> Iterator[Problem]:
    """What is wrong with models that learn from an ensemble."""
    for name in study.students:
        for text in _teacher_problems(study, study.models[name]):
            yield ("models", name, "distill", "ensemble"), text
    try:
        TopologicalSorter(_needs(study)).prepare()
    except CycleError as error:
        circle = error.args[1][:0:-1]
        if student := next((name for name in study.students if name in circle), None):
            first = circle.index(student)
            text = f"{' needs '.join([*circle[first:], *circle[:first], student])}; no network can learn from itself"
            yield ("models", student, "distill", "ensemble"), text


# -- runs and figures ----------------------------------------------------------------------------------------------------


def _weights_problems(study: "Study") -> Problems:
    """What is wrong with models that start from the weights of another run."""
    problems: Problems = []
    for name, model in study.models.items():
        weights = model.own_weights
        if weights is None or weights.run is None:
            continue
        place, source = ("models", name, "weights", "run"), study.models[weights.run]
        chain = [name]
        while (own := study.models[chain[-1]].own_weights) and own.run and own.run not in chain:
            chain.append(own.run)
        if own and own.run:
            problems.append((place, f"{' starts from '.join([*chain, own.run])}; no run can come before itself"))
            continue
        if source.architecture != model.architecture:
            problems.append(
                (
                    place,
                    f"{weights.run!r} is of architecture {source.architecture}, and this model of {model.architecture}",
                )
            )
        for dataset in [weights.dataset] if weights.dataset else study.datasets_of(model):
            if dataset not in study.datasets_of(source):
                text = f"{weights.run!r} does not train on {dataset!r}; name under dataset one on which it does"
                problems.append((place, text))
        if lacking := [str(seed) for seed in study.seeds_of(name) if seed not in study.seeds_of(weights.run)]:
            problems.append((place, f"{weights.run!r} has no run with seed {', '.join(lacking)}, which this model has"))
    return problems


def _gpu_problems(study: "Study") -> Problems:
    """What the backend cannot do for models that train on several GPUs."""
    problems: Problems = []
    for name, model in study.models.items():
        if (model.gpu or 1) == 1:
            continue
        if study.backend == "torch":
            text = f"{model.gpu} with backend: torch is not offered; allowed: 1, or backend: tensorflow or jax"
            problems.append((("models", name, "gpu"), text))
        elif study.backend == "tensorflow":
            text = f"does not work with gpu: {model.gpu} on backend: tensorflow; leave it out, or take backend: jax"
            given = [path for path, off in ONE_GPU.items() if attrgetter(path)(model) not in (None, off)]
            opened = [path for path in ONE_GPU if model.tune and path in model.tune.space]
            problems += [(("models", name, *path.split(".")), text) for path in given]
            problems += [(("models", name, "tune", "space", path), text) for path in opened]
    return problems


def _reference_problems(study: "Study") -> Problems:
    """What is wrong with published figures; fills in their data set, where there is no choice."""
    problems: Problems = []
    figures = []
    for k, figure in enumerate(study.reference.figures if study.reference else ()):
        place = ("reference", "figures", k)
        item = study.models.get(figure.of) or study.ensembles.get(figure.of)
        if item is None:
            text = f"{figure.of!r} is no model or ensemble of this study"
            problems.append(((*place, "of"), text + nearest(figure.of, [*study.models, *study.ensembles])))
            continue
        choice = study.datasets_of(item)
        if figure.dataset is None and len(choice) > 1:
            problems.append(((*place, "dataset"), f"is required, for {figure.of} is for {', '.join(choice)}"))
        elif figure.dataset is not None and figure.dataset not in choice:
            problems.append(((*place, "dataset"), f"{figure.of} is for {', '.join(choice)}, not {figure.dataset!r}"))
        figures.append(figure.model_copy(update={"dataset": figure.dataset or choice[0]}))
    if study.reference and not problems:
        object.__setattr__(study, "reference", study.reference.model_copy(update={"figures": figures}))
    return problems


def study_problems(study: "Study") -> Problems:
    """What does not fit together, by the place where it is written; fills in the data sets of published figures."""
    checks = (_ensemble_problems, _distill_problems, _weights_problems, _gpu_problems, _reference_problems)
    return list(dict.fromkeys(problem for check in checks for problem in check(study)))
