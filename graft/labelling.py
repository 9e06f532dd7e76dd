"""A finished ensemble applied to images: what each of its networks says of them, put together as was fitted.

``ensemble.json`` and the files that it names are all that is read. What was fitted is found again from the members' saved
predictions, or stands beside it as arrays; nothing is unpickled.
"""

import gc
import importlib
import logging
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from graft.augmentation import views
from graft.ensembles import fit
from graft.ensembles.averages import arithmetic_mean
from graft.ensembles.temperature import scaled
from graft.errors import UserError
from graft.files import read_json, verified
from graft.members import merge_folds
from graft.predictions import Predictions, load_predictions
from graft.registry import Part, parts

log = logging.getLogger(__name__)

Images = Callable[[int], np.ndarray]
"""Gives the same images, uint8 (n, size, size, 3), at any of an ensemble's sizes in pixels."""

Labeller = Callable[[Images, np.ndarray], np.ndarray]
"""Log probabilities (m, classes) float32 of the images in rows (m,)."""

BATCH = 256

WEIGHTED = ("greedy", "weighted_vote")
"""Methods whose members of no weight need not be asked."""


class Member(NamedTuple):
    """One voice of an ensemble: its networks, whose probabilities are averaged, and what they were shown."""

    name: str
    image_size: int
    test_time: Sequence[str]
    networks: list[Path]
    predictions: list[Path]


class Ensemble(NamedTuple):
    """What ``ensemble.json`` says, its paths as seen from here; ``temperature`` is none where none was fitted."""

    path: Path
    method: Mapping[str, Any]
    temperature: float | None
    classes: list[str]
    preparation: Mapping[str, str]
    members: list[Member]

    @property
    def sizes(self) -> list[int]:
        """The sizes in pixels of the images that the members see."""
        return sorted({member.image_size for member in self.members})

    @property
    def part(self) -> Part:
        """The method among those that are registered."""
        return parts("graft.ensembles")[self.method["name"]]


# -- what an ensemble is -------------------------------------------------------------------------------------------------


def _member(described: Mapping[str, Any], path: Path) -> Member:
    if not described["networks"]:
        raise UserError(
            f"{path}: {described['member']} ({described['kind']}) has no network that is kept, so this ensemble cannot "
            "label images; name members whose kind is run or folds"
        )
    networks, predictions = ([path.parent / name for name in described[key]] for key in ("networks", "predictions"))
    views_of = described.get("test_time", ())
    return Member(described["member"], described["image_size"], views_of, networks, predictions)


def read_ensemble(path: str | Path) -> Ensemble:
    """The ensemble in an ``ensemble.json``, once its checksum agrees.

    Raises:
        UserError: the file is another one, missing or damaged, or a network of a member was not kept.
    """
    path = Path(path)
    wanted = "name the ensemble.json of a finished ensemble, results/<study>/ensembles/<data set>/<name>/ensemble.json"
    if path.suffix != ".json" or not path.is_file():
        raise UserError(f"{path}: {'another kind of file' if path.is_file() else 'no such file'}; {wanted}")
    described = read_json(verified(path))
    try:
        members = [_member(member, path) for member in described["members"]]
        if "networks" in described:  # of averaged weights: one network of the shape that all have
            members = [members[0]._replace(networks=[path.parent / name for name in described["networks"]])]
        method, classes, preparation = (described[key] for key in ("method", "classes", "preparation"))
        return Ensemble(path, method, described.get("temperature"), classes, preparation, members)
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(f"{path}: does not say {error}, so it is no ensemble.json of this version; {wanted}") from error


def check_classes(ensemble: Ensemble, classes: Sequence[str]) -> None:
    """Raise a :class:`~graft.errors.UserError` unless the ensemble tells these classes apart, in this order."""
    if list(classes) != list(ensemble.classes):
        raise UserError(f"{ensemble.path}: of classes {ensemble.classes}, and the images are of {list(classes)}")


# -- what a network says -------------------------------------------------------------------------------------------------


def _load(path: Path, size: int) -> Any:
    import keras

    keras.utils.clear_session()
    gc.collect()  # the network before it holds itself by its layers
    try:
        # Nothing in the file runs: safe mode refuses code.
        network = keras.saving.load_model(verified(path), compile=False, safe_mode=True)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: Keras cannot load this network: {' '.join(str(error).split())[:200]}") from error
    if tuple(network.input_shape[1:]) != (size, size, 3):
        raise UserError(f"{path}: sees images of {network.input_shape[1:]}, and its ensemble says {size} pixels")
    return network


def _log_prob(network: Any, member: Member, images: np.ndarray, rows: np.ndarray, batch_size: int) -> np.ndarray:
    from graft.training import Batches, predict_log_prob

    batches = Batches([images], np.zeros(len(images), np.int64), rows, batch_size)
    return predict_log_prob(network, batches, partial(views, names=member.test_time) if member.test_time else None)


def _said(member: Member, images: np.ndarray, rows: np.ndarray, batch_size: int) -> np.ndarray:
    """What a member says of the images in ``rows`` (m,): log probabilities (m, classes) float32."""
    each = []
    for path in member.networks:
        log.info("%s: %d images by %s", member.name, len(rows), path)
        each.append(_log_prob(_load(path, member.image_size), member, images, rows, batch_size))
    return each[0] if len(each) == 1 else arithmetic_mean(np.stack(each))


def _embedded(member: Member, images: np.ndarray, rows: np.ndarray, batch_size: int) -> np.ndarray:
    """What a member's network makes of the images in ``rows`` (m,) before its last layer: (m, d) float32."""
    from graft.embeddings import embed, penultimate

    (path,) = member.networks
    log.info("%s: %d images by %s", member.name, len(rows), path)
    return embed(penultimate(_load(path, member.image_size)), images, rows, batch_size)


# -- what an ensemble says -----------------------------------------------------------------------------------------------


def _predictions_of(member: Member) -> Predictions:
    each = {f"{member.name}, number {k}": load_predictions(verified(path)) for k, path in enumerate(member.predictions)}
    return merge_folds(each) if len(each) > 1 else next(iter(each.values()))


def _divided(log_prob: np.ndarray, temperature: float | None) -> np.ndarray:
    return log_prob if temperature is None else scaled(log_prob, temperature)


def labeller(ensemble: Ensemble, batch_size: int = BATCH) -> Labeller:
    """What labels images as the ensemble does, so many at a time; its networks are loaded one after the other.

    Its method is fitted again on the members' saved predictions of the validation split; ``concat`` has its head beside
    ``ensemble.json``, and of ``weight_average`` there is one network.

    Raises:
        UserError: a file is missing or damaged, or no network of this version of Keras.
    """
    reads = ensemble.part.facts.get("reads", "predictions")
    members, temperature = ensemble.members, ensemble.temperature
    if reads == "embeddings":
        # By name, for other methods' jobs do not depend on this one.
        head = importlib.import_module(ensemble.part.module).load_head(verified(ensemble.path.with_name("head.npz")))

        def from_embeddings(images: Images, rows: np.ndarray) -> np.ndarray:
            each = [_embedded(member, images(member.image_size), rows, batch_size) for member in members]
            return _divided(head.apply(each), temperature)

        return from_embeddings
    if reads == "weights":
        (average,) = members
        return lambda images, rows: _divided(_said(average, images(average.image_size), rows, batch_size), temperature)
    predictions = {member.name: _predictions_of(member) for member in members}
    fitted = fit(predictions, ensemble.method, temperature is not None)
    asked = [weight > 0 or ensemble.method["name"] not in WEIGHTED for weight in fitted.weights]

    def from_predictions(images: Images, rows: np.ndarray) -> np.ndarray:
        log_prob = np.zeros((len(members), len(rows), len(ensemble.classes)), np.float32)
        for k in np.flatnonzero(asked):
            log_prob[k] = _said(members[k], images(members[k].image_size), rows, batch_size)
        return fitted.apply(log_prob)

    return from_predictions
