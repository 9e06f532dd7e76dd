"""Which finished networks a study combines, and how."""

import re
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, NamedTuple

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from graft.config.base import NAME, Count, Name, OnDatasets, Strict, each_known, named_parts, word_or
from graft.registry import parts

READS = ("predictions", "embeddings", "weights")
"""What a method may read of its members."""

SOURCES = {"trials": "best", "snapshots": "last", "predictions": "name", "run": "dataset"}
"""Where members may come from beside the runs of a model, and the key that goes with each."""


class Other(Strict):
    """Members that are no runs of this data set: trials of a search, snapshots on the way, another program's predictions,
    runs on another data set."""

    trials: str | None = None
    best: Count | None = None
    snapshots: str | None = None
    last: Count | None = None
    predictions: Annotated[str, Field(pattern=r"\.(npz|csv)$")] | None = None
    name: Name | None = None
    run: str | None = None
    dataset: str | None = None

    @field_validator("trials", "snapshots", "run", "dataset")
    @classmethod
    def _exists(cls, name: str | None, info: ValidationInfo) -> str | None:
        key, noun = ("datasets", "data set") if info.field_name == "dataset" else ("models", "model")
        return name if name is None else each_known([name], info, key, noun)[0]

    @model_validator(mode="after")
    def _one(self) -> "Other":
        given = [key for key in SOURCES if getattr(self, key) is not None]
        extra = [key for key in SOURCES.values() if getattr(self, key) is not None]
        if len(given) != 1 or set(extra) - {SOURCES[given[0]]} or (given == ["run"] and self.dataset is None):
            ways = "{trials: <model>, best: <number>}, {snapshots: <model>, last: <number>}, {predictions: <file>, name: <name>}"
            text = (
                f"needs one of {ways} (best, last and name may be left out) and {{run: <model>, dataset: <data set>}}"
            )
            raise PydanticCustomError("graft", "{text}", {"text": text})
        if self.predictions is not None and not re.fullmatch(NAME, self.called or ""):
            text = f"{self.predictions!r} makes no name; give it one of letters, digits, '_' and '-' under name"
            raise PydanticCustomError("graft", "{text}", {"text": text})
        return self

    @property
    def model(self) -> str | None:
        """The model that the members come of."""
        return self.trials or self.snapshots or self.run

    @property
    def called(self) -> str | None:
        """The name of a member that comes in a file."""
        return self.name or (self.predictions and re.split(r"[\\/]", self.predictions)[-1].rpartition(".")[0])


class Member(NamedTuple):
    """What gives an ensemble one member or more, known before anything is trained.

    ``kind`` is ``run`` (one network), ``folds`` (one member of as many networks as ``seeds``), ``trials`` and ``snapshots``
    (as many members as there will be), or ``file``. ``dataset`` is the one that the networks were trained on. ``most`` is
    how many of the best trials, or of the last snapshots, are members.
    """

    kind: str
    name: str
    dataset: str
    model: str | None = None
    seeds: tuple[int, ...] = ()
    most: int | None = None
    file: str | None = None


Entry = Annotated[
    Annotated[str, Tag("name")] | Annotated[Other, Tag("mapping")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "mapping"),
]


def _is_pattern(name: str) -> bool:
    return bool(set("*?[") & set(name))


class Ensemble(OnDatasets):
    """Finished models that are combined, from what their jobs left."""

    method: named_parts("graft.ensembles")  # type: ignore[valid-type]
    members: word_or(  # type: ignore[valid-type]
        ("all",), "a list of models", list=Annotated[list[Entry], Field(min_length=1)]
    ) = "all"
    best: Count | None = None
    temperature: bool | None = None

    @field_validator("members")
    @classmethod
    def _are_models(cls, entries: Any, info: ValidationInfo) -> Any:
        if isinstance(entries, str):
            return entries
        names = [entry for entry in entries if isinstance(entry, str)]
        known = list((info.context or {}).get("models", names))
        for pattern in filter(_is_pattern, names):
            if known and not any(fnmatchcase(name, pattern) for name in known):
                text = f"{pattern!r} fits no model of this study; models: {', '.join(known)}"
                raise PydanticCustomError("graft", "{text}", {"text": text})
        if plain := [name for name in names if not _is_pattern(name)]:
            each_known(plain, info, "models", "model")
        return entries

    @model_validator(mode="after")
    def _best_by_predictions(self) -> "Ensemble":
        if self.best is not None and self.reads != "predictions":
            text = f"goes by predictions, of which {self.method.name} reads none; name the members"
            raise PydanticCustomError("problems", "problems", {"problems": [(("best",), text)]})
        return self

    @property
    def reads(self) -> str:
        """What of its members the method reads: one of ``READS``."""
        return str(parts("graft.ensembles")[self.method.name].facts.get("reads", READS[0]))

    @property
    def code_modules(self) -> tuple[str, ...]:
        """What a job with this ensemble runs beside the modules that its script imports."""
        return (parts("graft.ensembles")[self.method.name].module,)

    def models_among(self, models: Sequence[str], apart: Collection[str] = ()) -> list[str]:
        """The models whose runs are members, each once, in the order in which they are named.

        ``models`` are those that could be; those ``apart`` are members only where they are named in full.
        """
        names = ["*"] if self.members == "all" else [entry for entry in self.members if isinstance(entry, str)]
        found: dict[str, None] = {}
        for name in names:
            fitting = [model for model in models if model not in apart and fnmatchcase(model, name)]
            found |= dict.fromkeys(fitting if _is_pattern(name) else [name])
        return list(found)

    def within(self, models: Collection[str]) -> "Ensemble":
        """This ensemble, of what comes of these models, or of none, alone."""
        if self.members == "all":
            return self
        kept = [
            entry
            for entry in self.members
            if (
                entry.model in {None, *models}
                if isinstance(entry, Other)
                else any(fnmatchcase(m, entry) for m in models)
            )
        ]
        return self.model_copy(update={"members": kept})

    @property
    def others(self) -> list[Other]:
        """The members that are no runs."""
        return [entry for entry in self.members if isinstance(entry, Other)] if self.members != "all" else []
