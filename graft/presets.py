"""Presets of KerasHub: what a study may write behind ``hub:``, where their files are, and what these may hold.

A preset is a folder that ``keras_hub.models.Backbone.save_to_preset`` writes: a class and its arguments in
``config.json``, weights in ``model.weights.h5``, and how it scales pixels in ``image_converter.json``.
"""

import hashlib
import importlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from graft.errors import UserError

PART = "hub"
PREFIX = f"{PART}:"
CONFIG, CONVERTER, WEIGHTS = "config.json", "image_converter.json", "model.weights.h5"
FILES = (CONFIG, CONVERTER, WEIGHTS)
KAGGLE = "https://www.kaggle.com/api/v1/models"
HUGGING_FACE = "https://huggingface.co"
# Of what KerasHub depends on, images need these; without --no-deps a second TensorFlow would come too.
INSTALL = "pip install --no-deps 'keras-hub==0.32.*' regex tokenizers"
LARGEST_JSON = 2**20  # bytes
HDF5 = b"\x89HDF\r\n\x1a\n"

_WORD = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"
_KAGGLE = rf"kaggle://{_WORD}/{_WORD}/{_WORD}/{_WORD}/[0-9]{{1,9}}"
_HUGGING_FACE = f"hf://{_WORD}/{_WORD}"
_FOLDER = r"[^:\\\x00-\x1f]*/[^:\\\x00-\x1f]*"
PATTERN = f"^{PREFIX}({_WORD}|{_KAGGLE}|{_HUGGING_FACE}|{_FOLDER})$"
ALLOWED = (
    "hub:<name of a KerasHub preset>, hub:kaggle://<owner>/<model>/keras/<variation>/<version>, "
    "hub:hf://<owner>/<model>, or hub:<path of a folder, with a '/' in it>"
)


class Preset(NamedTuple):
    """A preset by its ``handle``: a name in KerasHub's own list, an address on Kaggle or Hugging Face, or a folder."""

    handle: str

    @property
    def is_listed(self) -> bool:
        """Whether KerasHub's own list says where it is."""
        return re.fullmatch(_WORD, self.handle) is not None

    @property
    def folder(self) -> Path | None:
        """The user's own folder that it is in, if it is in one."""
        return None if self.is_listed or "://" in self.handle else Path(self.handle)

    @property
    def name(self) -> str:
        """A file name of its own for each handle."""
        if self.is_listed:
            return f"{PART}-{self.handle}"
        words = re.sub("[^A-Za-z0-9_]+", "-", self.handle).strip("-")[-40:]
        return f"{PART}-{words}-{hashlib.sha256(self.handle.encode()).hexdigest()[:10]}"

    @property
    def files(self) -> list[str]:
        """The files of a user's own folder."""
        return [str(self.folder / name) for name in FILES] if self.folder else []

    def addresses(self, file: str) -> tuple[str, ...]:
        """Where a file of a preset on Kaggle or Hugging Face is.

        The former as in ``ApiDownloadModelInstanceVersionRequest`` of Kaggle's package kagglesdk 0.1.28, the latter as in
        huggingface.co/docs/hub/models-downloading.
        """
        site, _, path = self.handle.partition("://")
        if site == "kaggle":
            return (f"{KAGGLE}/{path}/download/{file}",)
        return (f"{HUGGING_FACE}/{path}/resolve/main/{file}",)


def part_name(architecture: Any) -> Any:
    """The name of the part that an architecture is: all presets are one."""
    return PART if isinstance(architecture, str) and architecture.startswith(PREFIX) else architecture


def preset_of(architecture: str) -> Preset | None:
    """The preset that an architecture names, if it names one."""
    return Preset(architecture.removeprefix(PREFIX)) if architecture.startswith(PREFIX) else None


def keras_hub() -> Any:
    """The package keras_hub, which takes seconds to import.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module("keras_hub")
    except ImportError as error:
        raise UserError(f"architecture: hub:... needs the package keras-hub: {INSTALL} ({error})") from error


# -- files, which anybody may have written -------------------------------------------------------------------------------


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise UserError(
                f"{path}: has more than {LARGEST_JSON:,} bytes; that is no {path.name} of a KerasHub preset"
            )
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error})") from error
    if not isinstance(value, dict) or not isinstance(value.get("config"), dict):
        raise UserError(f"{path}: has no class with a config; a KerasHub preset is saved by save_to_preset")
    return value


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping that Keras would make an object of, wherever it stands."""
    if isinstance(value, dict):
        if {"class_name", "module", "registered_name"} & value.keys():
            yield value
        for child in value.values():
            yield from _objects(child)
    elif isinstance(value, list):
        for child in value:
            yield from _objects(child)


def _is_known(described: dict[str, Any]) -> bool:
    """Whether Keras would look for the class of an object in Keras and KerasHub alone."""
    module, name, registered = (described.get(key) for key in ("module", "class_name", "registered_name"))
    inside = isinstance(module, str) and module.split(".")[0] in ("keras", "keras_hub")
    return inside and (registered in (None, name) or str(registered).startswith("keras_hub>"))


def read_config(folder: Path) -> dict[str, Any]:
    """The arguments of the backbone of the preset in ``folder``.

    Raises:
        UserError: it is no backbone of KerasHub for images, or would make objects of classes from elsewhere.
    """
    path = folder / CONFIG
    described = _read(path)
    for item in _objects(described):
        if not _is_known(item):
            names = ", ".join(f"{key} {item.get(key)!r}" for key in ("module", "class_name", "registered_name"))
            raise UserError(f"{path}: names a class that is not of Keras or KerasHub, which is not loaded: {names}")
    registered = str(described.get("registered_name"))
    config: dict[str, Any] = described["config"]
    if not re.fullmatch(r"keras_hub>\w+Backbone", registered) or not {"image_shape", "input_shape"} & config.keys():
        raise UserError(f"{path}: {registered} is not a backbone of KerasHub for images")
    return config


def _numbers(path: Path, key: str, value: Any) -> list[float]:
    values = value if isinstance(value, list) else [value] * 3
    if len(values) != 3 or not all(type(one) in (int, float) and math.isfinite(one) for one in values):
        raise UserError(f"{path}: {key} is neither a number nor a list of three")
    return [float(one) for one in values]


def read_scaling(folder: Path) -> tuple[list[float], list[float]]:
    """What the pixels of the preset in ``folder``, from 0 to 255, are multiplied by, and what is then added: R, G, B.

    ``mean`` and ``variance`` stand in the files of older presets: they normalise what was scaled.

    Raises:
        UserError: the file does not say.
    """
    path = folder / CONVERTER
    config = _read(path)["config"]
    given = {key: value for key, value in config.items() if value is not None}
    scale, offset, mean, variance = (
        _numbers(path, key, given.get(key, default))
        for key, default in (("scale", 1.0), ("offset", 0.0), ("mean", 0.0), ("variance", 1.0))
    )
    if min(variance) <= 0:
        raise UserError(f"{path}: variance is not above 0")
    if "variance" in given:
        scale = [one / math.sqrt(var) for one, var in zip(scale, variance, strict=True)]
        offset = [-one / math.sqrt(var) for one, var in zip(mean, variance, strict=True)]
    return scale, offset


def check_preset(folder: Path) -> None:
    """Check what can be checked of the files of a preset without KerasHub.

    Raises:
        UserError: a file is not what it should be.
    """
    read_config(folder)
    read_scaling(folder)
    path = folder / WEIGHTS
    with path.open("rb") as file:
        if file.read(len(HDF5)) != HDF5:
            raise UserError(f"{path}: not a file of weights in HDF5")
