"""How accurate EfficientNet-Lite0 is on the flower photographs: its models in `studies/flowers_finetuning.yaml`.

    python benchmarks/flowers.py FOLDER [--seeds 0 1 2] [--keep FOLDER]

FOLDER holds flower_photos.tgz, published or reduced. 15% of the photographs are held out for the test, and 10% for the
validation split; split seeds from 10 on are for trying recipes. Prints the test accuracy of each model for each split
seed, their means, and the difference between the fine-tuned model and the frozen one with a 95% interval: a bootstrap
over images (scipy.stats.bootstrap, BCa), since an image may be in the test split of several seeds.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from common import ROOT, snakemake
from ruamel.yaml import YAML
from scipy.stats import bootstrap

from graft.files import sha256
from graft.predictions import load_predictions

MODELS = ("lite0_probe", "lite0_finetune")


def write_study(path: Path, seed: int, archive: Path) -> None:
    """The shipped study with another split seed, and the archive that is there."""
    source = {"name": "flower_photos", "sha256": sha256(archive)}
    study = {
        "extends": str(ROOT / "studies/flowers_finetuning.yaml"),
        "study": f"flowers_{seed}",
        "mirror": [str(archive.parent.resolve())],
        "datasets": {"flowers": {"source": source, "split": {"validation": 0.1, "test": 0.15, "seed": seed}}},
        "limits": {"models": list(MODELS)},
        "threads": 2,
    }
    YAML(typ="safe", pure=True).dump(study, path)


def correct(folder: Path, seed: int) -> pd.DataFrame:
    """A row per test image: whether each model is right."""
    columns = {}
    for model in MODELS:
        run = folder / f"results/flowers_{seed}/runs/flowers/{model}/seed0/predictions.npz"
        test = load_predictions(run).splits["test"]
        columns[model] = pd.Series(test.log_prob.argmax(axis=1) == test.label, index=test.sample_id, dtype=float)
    return pd.DataFrame(columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--keep", type=Path, help="run here instead of in a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        tables = []
        for seed in arguments.seeds:
            study = folder / f"flowers_{seed}.yaml"
            write_study(study, seed, arguments.folder / "flower_photos.tgz")
            seconds = snakemake(folder, study)
            table = correct(folder, seed)
            tables.append(table)
            shown = ", ".join(f"{model} {table[model].mean():.4f}" for model in MODELS)
            print(f"split seed {seed}: {shown} ({len(table)} test images, {seconds:.0f} s)", flush=True)
        for model in MODELS:
            print(f"{model}: mean {np.mean([table[model].mean() for table in tables]):.4f}")
        everything = pd.concat(tables)
        difference = (everything[MODELS[1]] - everything[MODELS[0]]).groupby(level=0).agg(["sum", "size"])

        def mean(total: np.ndarray, count: np.ndarray, axis: int = -1) -> np.ndarray:
            return np.asarray(total.sum(axis=axis) / count.sum(axis=axis))

        data = (difference["sum"].to_numpy(), difference["size"].to_numpy())
        interval = bootstrap(data, mean, paired=True, rng=np.random.default_rng(0), vectorized=True).confidence_interval
        print(f"difference: {mean(*data):+.4f}, 95% interval {interval.low:+.4f} to {interval.high:+.4f}")


if __name__ == "__main__":
    main()
