"""Published weights: where a backbone's come from, and how they get into it."""

import logging
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from graft.errors import UserError
from graft.files import verified_all
from graft.presets import WEIGHTS, preset_of
from graft.sources.remote import Remote

log = logging.getLogger(__name__)


class Weights(NamedTuple):
    """Weights that a study names: what puts them into a backbone, and the file that they are in, if it is fetched."""

    load: Callable[[Any, Path | None], None]
    file: Remote | None = None


def with_weights(spec: Mapping[str, Any], sources: str | Path | Sequence[str | Path] | None) -> dict[str, Any]:
    """``spec``, a model as a study dumps it, and the path of the file that its weights are in, if they are in one.

    ``sources`` is a user's own file, or the list of checksums beside a published file or beside the model of a run. Of a
    backbone that is a KerasHub preset, the list beside the preset's files comes before it; ``spec`` gets their folder.
    """
    given = [sources] if isinstance(sources, str | Path) else list(sources or ())
    whole = dict(spec)
    if given and preset_of(spec.get("architecture", "")):
        folder = verified_all(given.pop(0))[0].parent
        whole["preset"] = str(folder)
        if spec["weights"] == "preset":
            whole["weights_file"] = str(folder / WEIGHTS)
    for source in given:
        own = isinstance(spec["weights"], Mapping) and "file" in spec["weights"]
        whole["weights_file"] = str(source if own else verified_all(source)[0])
    return whole


def _shapes(model: Any) -> list[tuple[str, list[tuple[int, ...]]]]:
    return [(layer.name, [tuple(w.shape) for w in layer.weights]) for layer in model.layers if layer.weights]


def _arrays_in_file(path: Path) -> dict[str, list[Any]]:
    """The weights of each layer that has some in a file of Keras' HDF5 format, in its order."""
    import h5py

    with h5py.File(path, "r") as file:
        group = file.get("model_weights", file)
        names = [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs["layer_names"]]
        weights = {name: [group[name][key][()] for key in group[name].attrs["weight_names"]] for name in names}
        return {name: arrays for name, arrays in weights.items() if arrays}


def load_file(model: Any, path: Path | None) -> None:
    """Set the weights in a file of Keras' HDF5 format, layer by layer in their order, as ``keras.applications`` does.

    Raises:
        UserError: the file is none, or holds other layers or shapes; the text lists the first that differ.
    """
    assert path is not None
    try:
        theirs = [(name, [array.shape for array in arrays]) for name, arrays in _arrays_in_file(path).items()]
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path}: not a file of Keras weights in HDF5 ({' '.join(str(error).split())})") from error
    ours = _shapes(model)
    if len(ours) != len(theirs):
        raise UserError(f"{path}: has {len(theirs)} layers with weights; the network has {len(ours)}")
    differ = [
        f"{name}: {own} here, {other} in {layer!r} of the file"
        for (name, own), (layer, other) in zip(ours, theirs, strict=True)
        if own != other
    ]
    if differ:
        raise UserError("\n  ".join([f"{path}: weights of other shapes in {len(differ)} layers:", *differ[:10]]))
    model.load_weights(path)


def _saved(path: Path) -> dict[str, list[Any]]:
    """The weights of each layer by its name, in a ``.keras`` file, or one of Keras' HDF5 format."""
    import keras

    try:
        if path.suffix != ".keras":
            return _arrays_in_file(path)
        # Nothing in the file runs: safe mode refuses code.
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    except (OSError, KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path}: not a Keras model (.keras), or weights in the HDF5 format of keras.applications (.h5): {said}"
        ) from error


def start_from(model: Any, path: Path, is_new: Callable[[Any], bool]) -> None:
    """Set the weights of every layer of ``model`` to those of the layer of this name in a file.

    Layers of which ``is_new`` is true keep their initial weights where the file has none of their shape, which is logged.

    Raises:
        UserError: the file cannot be read, or lacks another layer or has it in another shape; the text lists them.
    """
    saved = _saved(path)
    problems = []
    for layer in model.layers:
        ours = [tuple(weight.shape) for weight in layer.weights]
        theirs = [array.shape for array in saved.get(layer.name, ())]
        if ours == theirs:
            layer.set_weights(saved.get(layer.name, []))
            continue
        line = f"{layer.name}: {ours} here, {theirs or 'none'} there"
        if is_new(layer):
            log.info("starts anew, for %s has no such weights: %s", path, line)
        else:
            problems.append(line)
    if problems:
        shown = [*problems[:10], *([f"and {len(problems) - 10} more"] if len(problems) > 10 else [])]
        raise UserError("\n  ".join([f"{path}: weights of another network; {len(problems)} layers differ:", *shown]))
