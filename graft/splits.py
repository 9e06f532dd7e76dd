"""Which image belongs to which split: decided image by image, so that a later image moves no other."""

import hashlib

import pandas as pd

SPLITS = ("train", "validation", "test")


def _position(seed: int, sha1: str) -> float:
    digest = hashlib.sha256(f"{seed}/{sha1}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_index(index: pd.DataFrame, *, validation: float, test: float, seed: int) -> pd.DataFrame:
    """Assign every image of ``index`` (columns ``sample_id`` and ``sha1``) to train, validation or test.

    A hash of seed and pixels places each image between 0 and 1; the lowest ``test`` of that range is the test
    split, the next ``validation`` the validation split. The shares are therefore met in expectation, in each class too;
    equal images share a split, whatever their labels; and adding images moves none. Returns the columns ``sample_id`` and ``split`` in the order
    of ``index``.
    """
    positions = [_position(seed, sha1) for sha1 in index["sha1"]]
    names = ["test" if p < test else "validation" if p < test + validation else "train" for p in positions]
    return pd.DataFrame({"sample_id": index["sample_id"].to_numpy(), "split": names})
