"""How much faster models train on the stored activations of their frozen part: flower photographs at 160 px.

    python benchmarks/frozen.py FOLDER [--images 1000] [--epochs 10] [--cases lite0 conv5_block3 conv5 head]

FOLDER holds flower_photos.tgz. For each case, one after the other in one process, seconds of

- plain: Keras' `fit` over the whole network, its first part frozen, on an array in memory: two epochs, of which the second
  stands for all the others;
- bound: the frozen part once by `predict`, and `fit` of the rest alone on its activations in memory;
- graft: `save_activations` to the disk, and `train_run` on the memory map.

Building networks is part of none of them. `head` is EfficientNet-Lite0 frozen whole: one model, and 14 of them, for which
`plain` runs 14 times and `graft` the frozen part once. ResNet50 has random weights: they take the time of any others.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import snakemake

from graft.backends import start_backend

STUDY = """\
study: frozen
threads: 2
datasets:
  flowers:
    source: {{name: folder, path: {archive}}}
    split: {{validation: 0.1, test: 0.1}}
    subset: {{per_class: {{train: {train}, validation: {validation}, test: 1}}}}
models:
  any: {{architecture: simcnn, image_size: 160, train: {{epochs: 1}}}}
"""
CASES: dict[str, dict[str, Any]] = {
    "lite0": {"architecture": "efficientnet_lite0", "weights": "imagenet", "freeze": {"before": "stage7"}},
    "conv5_block3": {"architecture": "resnet50", "weights": "none", "freeze": {"before": "conv5_block3"}},
    "conv5": {"architecture": "resnet50", "weights": "none", "freeze": {"before": "conv5"}},
    "head": {"architecture": "efficientnet_lite0", "weights": "imagenet", "freeze": "all"},
}
BATCH, RATE, MODELS = 32, 1e-3, 14


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def measure(spec: dict[str, Any], data: Any, epochs: int, folder: Path) -> dict[str, float]:
    import keras

    from graft.features import save_activations, split_network
    from graft.finetune import build_network
    from graft.runs import train_run

    network_of = {key: value for key, value in spec.items() if key != "train"}
    rows, validation = data.rows["train"], data.rows["validation"]
    images, label = np.asarray(data.inputs[0]), data.label
    held_out = (images[validation], label[validation])

    def new() -> Any:
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        return build_network(classes=len(data.classes), **network_of)

    def compiled(network: Any) -> Any:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        network.compile(keras.optimizers.Adam(RATE), loss, metrics=["accuracy"], jit_compile=False)
        return network

    def fit(network: Any, inputs: Any, count: int, held: Any) -> float:
        options = {"batch_size": BATCH, "validation_data": held, "validation_batch_size": 256, "verbose": 0}
        return seconds(lambda: network.fit(inputs, label[rows], epochs=count, **options))[0]

    whole = compiled(new())
    first, second = (fit(whole, images[rows], 1, held_out) for _ in range(2))

    prefix, suffix = split_network(new())
    once, seen = seconds(lambda: prefix.predict(images, batch_size=256, verbose=0))
    several = isinstance(seen, list)
    inputs, held = ([x[part] for x in seen] if several else seen[part] for part in (rows, validation))
    alone = fit(compiled(suffix), inputs, epochs, (held, label[validation]))

    prefix, _ = split_network(new())
    stored, paths = seconds(lambda: save_activations(prefix, images, folder))
    cached = data._replace(inputs=[np.load(path, mmap_mode="r") for path in paths])
    trained = train_run(spec, cached, 0).seconds
    return {
        "plain": first + (epochs - 1) * second,
        "once": once,
        "alone": alone,
        "stored": stored,
        "trained": trained,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=1000, help="for training; a tenth as many for validation")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        archive = (options.folder / "flower_photos.tgz").resolve()
        (base / "study.yaml").write_text(
            STUDY.format(archive=archive, train=options.images // 5, validation=options.images // 50)
        )
        snakemake(base, base / "study.yaml", "datasets")
        start_backend("tensorflow", threads=2, deterministic=True)
        from graft.arrays import gather, open_arrays

        (store,) = base.glob("data/flowers-*")
        index = pd.read_parquet(store / "index.parquet")
        splits = pd.read_parquet(base / "results/frozen/splits/flowers.parquet")
        (images,) = open_arrays(store / "160px/SHA256SUMS")
        used = index[index["sample_id"].isin(splits["sample_id"])]
        data = gather(used, splits, [images[used.index]])
        print({name: len(rows) for name, rows in data.rows.items()}, f"{options.epochs} epochs", flush=True)
        train = {"epochs": options.epochs, "batch_size": BATCH, "optimizer": {"name": "adam"}, "learning_rate": RATE}
        for name in options.cases:
            spec = CASES[name] | {"image_size": 160, "options": {}, "train": train | {"schedule": {"name": "constant"}}}
            took = measure(spec, data, options.epochs, base / name)
            ours, bound = took["stored"] + took["trained"], took["once"] + took["alone"]
            print(f"{name}: " + ", ".join(f"{key} {value:.1f} s" for key, value in took.items()))
            print(
                f"  {took['plain'] / ours:.2f} times as fast as plain fit, {bound / ours:.2f} of the bound", flush=True
            )
            if name == "head":
                many = MODELS * took["plain"] / (took["stored"] + MODELS * took["trained"])
                print(f"  {MODELS} models: {many:.1f} times as fast as plain fit", flush=True)


if __name__ == "__main__":
    main()
