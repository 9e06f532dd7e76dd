"""What a trained network makes of images just before it tells classes apart, and the file that keeps it.

``embeddings.npz`` holds ``sample_id`` (n,) and ``embedding`` (n, d) float32, uncompressed. No pickles, no dates: equal
embeddings give equal files.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from graft.errors import UserError
from graft.progress import lines

log = logging.getLogger(__name__)

LINE_EVERY = 30.0  # seconds

# -- networks ------------------------------------------------------------------------------------------------------------


def penultimate(model: Any) -> Any:
    """The part of ``model``, a Keras model from images to logits, that ends where its last layer with weights begins.

    That layer is the dense one that gives the logits, for every architecture but ``all_cnn_c``, and its input is the vector
    that is returned of each image. Where it is a convolution, whose outputs are averaged over the image, its input is a
    feature map, and the mean of that over the image is returned.

    The returned model shares its layers with ``model``: uint8 (n, h, w, 3) to (n, d).
    """
    import keras

    last = next(operation for operation in reversed(model.operations) if getattr(operation, "weights", ()))
    places = tuple(range(1, len(last.input.shape) - 1))
    return keras.Model(model.input, keras.ops.mean(last.input, axis=places) if places else last.input)


def embed(network: Any, images: np.ndarray, rows: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """What ``network``, the :func:`penultimate` part of a model, makes of some ``rows`` (m,) of uint8 images (n, h, w, 3)
    as it would in a prediction: float32 (m, d), in the order of ``rows``."""
    import keras

    embedding = np.empty((len(rows), network.output.shape[-1]), np.float32)
    shown = "embeddings: {percentage:.0f}% of {total_fmt} batches, {remaining} left"
    for start in lines(log.info, LINE_EVERY, iterable=range(0, len(rows), batch_size), bar_format=shown):
        batch = network.predict_on_batch(images[rows[start : start + batch_size]])
        embedding[start : start + batch_size] = keras.ops.convert_to_numpy(batch)
    return embedding


# -- files ---------------------------------------------------------------------------------------------------------------


class Embeddings(NamedTuple):
    """Sample ids (n,), and the vector of each: (n, d) float32."""

    sample_id: np.ndarray
    embedding: np.ndarray


def save_embeddings(path: str | Path, sample_id: np.ndarray, embedding: np.ndarray) -> None:
    """Write embeddings to ``path``, after the checks that :func:`load_embeddings` makes."""
    _check(str(path), sample_id, embedding)
    with Path(path).open("wb") as file:
        np.savez(file, allow_pickle=False, sample_id=sample_id, embedding=embedding)


def load_embeddings(path: str | Path) -> Embeddings:
    """The embeddings in a file.

    Raises:
        UserError: the file is not of this format, names a sample twice, or holds a number that is not finite.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            loaded = Embeddings(*(arrays[field] for field in Embeddings._fields))
    except Exception as error:  # whatever a damaged archive provokes is the file's fault
        raise UserError(f"{path}: not an embeddings file: {error}") from error
    _check(str(path), *loaded)
    return loaded


def _check(path: str, sample_id: np.ndarray, embedding: np.ndarray) -> None:
    if sample_id.dtype.kind != "U" or embedding.dtype != np.float32:
        raise UserError(
            f"{path}: ids and embeddings must be text and float32; not {sample_id.dtype}, {embedding.dtype}"
        )
    if sample_id.ndim != 1 or embedding.ndim != 2 or len(sample_id) != len(embedding):
        raise UserError(f"{path}: has ids {sample_id.shape} and embeddings {embedding.shape}")
    if len(np.unique(sample_id)) < len(sample_id):
        raise UserError(f"{path}: names a sample twice")
    finite = np.isfinite(embedding).all(axis=1)
    if not finite.all():
        raise UserError(
            f"{path}: the embedding of {sample_id[~finite][0]} is not finite; train its model again, in float32 or bfloat16"
        )


def in_order(members: Mapping[str, Embeddings], sample_id: np.ndarray) -> list[np.ndarray]:
    """The embeddings (n, d_k) of the samples ``sample_id`` (n,), of each member; of other samples it may have more.

    Raises:
        UserError: a member lacks a sample; the text names it, and another member that has it.
    """
    import pandas as pd

    found = {name: pd.Index(member.sample_id).get_indexer(sample_id) for name, member in members.items()}
    for name, rows in found.items():
        if (rows < 0).any():
            lacking = int(np.flatnonzero(rows < 0)[0])
            having = next((other for other in found if found[other][lacking] >= 0), None)
            pair, has = (f"{having} and {name}", f", and {having} has") if having else (name, "")
            raise UserError(f"{pair} cannot be combined: {name} has no embedding of {sample_id[lacking]}{has}")
    whole = np.arange(len(sample_id))
    return [
        member.embedding if np.array_equal(found[name], whole) else member.embedding[found[name]]
        for name, member in members.items()
    ]
