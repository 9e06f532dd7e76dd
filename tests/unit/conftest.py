"""What several unit tests share: a study to spoil, real images, and one network framework per process."""

import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from ruamel.yaml import YAML

from graft.arrays import Data
from graft.config import Study
from graft.errors import UserError
from graft.images import decode, resize
from graft.prepare import sample_id
from graft.study_file import read_study

# The same examples on every machine and run; HYPOTHESIS_PROFILE=default, or more examples, to look for new ones.
settings.register_profile(
    "graft", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "graft"))

STUDY: dict[str, Any] = {
    "study": "example",
    "seeds": [0, 1],
    "datasets": {
        "digits": {"source": "digits", "split": {"validation": 0.1, "test": 0.2}},
        "more": {"source": "digits", "split": {"validation": 0.2, "test": 0.2, "seed": 7}},
    },
    "models": {
        "small": {"architecture": "simcnn", "image_size": 32, "train": {"epochs": 3}},
        "probe": {
            "architecture": "efficientnet_lite0",
            "image_size": 64,
            "weights": "imagenet",
            "freeze": "all",
            "head": {"dropout": 0.2},
            "train": {"epochs": 3},
        },
        "tuned": {
            "architecture": "dcnn",
            "image_size": 16,
            "datasets": ["digits"],
            "train": {"epochs": 3},
            "tune": {"trials": 4, "space": {"train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}},
        },
    },
    "ensembles": {
        "pair": {"method": "soft_vote", "members": ["small", "probe"]},
        "everything": {"method": "soft_vote"},
    },
}


@pytest.fixture
def study() -> dict[str, Any]:
    """The plain values of a valid study, to change."""
    return deepcopy(STUDY)


@pytest.fixture
def study_path(tmp_path: Path) -> Callable[[Any], Path]:
    """Writes a study, plain values or text or bytes, to a file."""

    def write(content: Any) -> Path:
        path = tmp_path / "study.yaml"
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            yaml = YAML(typ="safe", pure=True)
            yaml.default_flow_style = False
            yaml.sort_base_mapping_type_on_output = False
            with path.open("w", encoding="utf-8") as file:
                yaml.dump(content, file)
        return path

    return write


@pytest.fixture
def read(study_path: Callable[[Any], Path]) -> Callable[[Any], Study]:
    """Reads a study from plain values or text."""
    return lambda content: read_study(study_path(content))


@pytest.fixture
def complaints(study_path: Callable[[Any], Path]) -> Callable[[Any], list[str]]:
    """The lines of the error that a wrong study gives, the first without the file's name."""

    def lines(content: Any) -> list[str]:
        path = study_path(content)
        with pytest.raises(UserError) as error:
            read_study(path)
        text = str(error.value)
        assert text.startswith(str(path))
        return [line.removeprefix("  ") for line in text.removeprefix(str(path)).split("\n")]

    return lines


@pytest.fixture(scope="session")
def keras() -> Any:
    """Keras on one deterministic thread, as a study's jobs start it."""
    from graft.backends import start_backend

    start_backend("tensorflow", threads=1, deterministic=True)
    import keras

    return keras


def _digits(size: int, count: int) -> Data:
    from sklearn.datasets import load_digits

    published = load_digits()
    grey = np.round(published.images[:count] * (255 / 16)).astype(np.uint8)
    images = np.stack([resize(decode(image), size) for image in grey])
    first, second = count * 6 // 10, count * 8 // 10
    rows = dict(zip(("train", "validation", "test"), np.split(np.arange(count), [first, second]), strict=True))
    ids = np.array([sample_id(f"{k:04}") for k in range(count)])
    return Data([images], published.target[:count], ids, rows, [str(name) for name in published.target_names])


@pytest.fixture(scope="session")
def digits() -> Callable[[int, int], Data]:
    """The first of scikit-learn's handwritten digits at a size, as a stage reads them: (pixels, images) to data."""
    return _digits
