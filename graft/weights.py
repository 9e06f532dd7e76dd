"""Published weights: where a backbone's come from, and how they get into it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from graft.errors import UserError
from graft.files import verified_all
from graft.sources.remote import Remote


class Weights(NamedTuple):
    """Weights that a study names: what puts them into a backbone, and the file that they are in, if it is fetched."""

    load: Callable[[Any, Path | None], None]
    file: Remote | None = None


def with_weights(spec: Mapping[str, Any], sums: str | Path | None) -> dict[str, Any]:
    """``spec``, a model as a study dumps it, and the file of its weights that ``sums`` lists, if there are any."""
    return {**spec, "weights_file": str(verified_all(sums)[0])} if sums else dict(spec)


def _shapes(model: Any) -> list[tuple[str, list[tuple[int, ...]]]]:
    return [(layer.name, [tuple(w.shape) for w in layer.weights]) for layer in model.layers if layer.weights]


def _shapes_in_file(path: Path) -> list[tuple[str, list[tuple[int, ...]]]]:
    """Layers with weights in a file of Keras' HDF5 format, in its order, and the shapes of their weights."""
    import h5py

    with h5py.File(path, "r") as file:
        group = file.get("model_weights", file)
        names = [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs["layer_names"]]
        weights = {name: [group[name][key] for key in group[name].attrs["weight_names"]] for name in names}
        return [(name, [tuple(array.shape) for array in arrays]) for name, arrays in weights.items() if arrays]


def load_file(model: Any, path: Path | None) -> None:
    """Set the weights in a file of Keras' HDF5 format, layer by layer in their order, as ``keras.applications`` does.

    Raises:
        UserError: the file is none, or holds other layers or shapes; the text lists the first that differ.
    """
    assert path is not None
    try:
        theirs = _shapes_in_file(path)
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
