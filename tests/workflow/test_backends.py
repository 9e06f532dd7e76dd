"""Studies on the frameworks that are extras, where they are installed: to the report, and to a model for everyone."""

import importlib.util
import json
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from .conftest import Project

STUDY = """\
study: small
backend: {backend}
threads: 1
datasets:
  digits:
    source: digits
    split: {{validation: 0.1, test: 0.2, seed: 0}}
    subset: {{per_class: {{train: 30}}}}
models:
  simcnn:
    architecture: simcnn
    image_size: 32
    train: {{epochs: 1, batch_size: 32, learning_rate: 1e-3}}
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_study_runs_to_its_report_and_tensorflow_reads_its_model(tmp_path: Path, backend: str) -> None:
    found = importlib.util.find_spec(backend)
    if found is None or found.origin is None:
        pytest.skip(f"{backend} is not installed")
    project = Project(tmp_path)
    (tmp_path / "config.yaml").write_text(STUDY.format(backend=backend))
    project.snakemake("--cores", "2", PYTHONPATH=str(Path(found.origin).parents[1]))
    assert (tmp_path / "results/small/report.html").is_file()

    run = tmp_path / "results/small/runs/digits/simcnn/seed0"
    runtime = json.loads((run / "runtime.json").read_text())
    assert runtime["backend"] == backend and runtime["device"] and backend in runtime["versions"]
    (store,) = (tmp_path / "data").glob("digits-*")
    row = pd.read_parquet(store / "index.parquet").reset_index().set_index("sample_id")["index"]
    with np.load(run / "predictions.npz") as saved:
        images = np.load(store / "32px/images.npy", mmap_mode="r")[row.loc[saved["test_sample_id"]]]
        logits = keras.saving.load_model(run / "model.keras").predict(images, verbose=0).astype(float)
        log_prob = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(log_prob, saved["test_log_prob"], atol=2e-4)
