"""How much time and memory training takes beside what Keras itself would take.

    python benchmarks/training.py overhead FOLDER [--repeats 3]
    python benchmarks/training.py accuracy FOLDER [--seeds 0 1 2]
    python benchmarks/training.py startup [--repeats 3]
    python benchmarks/training.py memory [--gib 20]

`overhead`: one epoch of SimCNN on CIFAR-10, batches of 32, and what `train_model` does besides (reading, validation,
predictions, saving), against a bare Keras script of the same arithmetic on an array in memory; start-up is left out of
both. FOLDER holds cifar10-images.tar.xz. `accuracy`: seconds until SimCNN is right on 0.6875 of the validation split, as
`simcnn_fast` of `studies/fast_cifar.yaml` is trained (with its predictions, which are the mean over two views) and as
`simcnn` of `studies/cifar10_simcnn_resnet50.yaml`, a report's recipe, of which at most all 25 epochs run; the report had
that accuracy on test images. `startup`: importing what `train_model` imports, against importing TensorFlow.
`memory`: anonymous resident memory while SimCNN trains on batches from all over a sparse file of so many GiB, beyond that of
the framework with the network built.
"""

import argparse
import tempfile
from pathlib import Path

from common import ROOT, program, snakemake, spread

WANTED = 0.6875

STUDY = """\
study: overhead
threads: 2
datasets:
  cifar10:
    source: {{name: folder, path: {archive}}}
    split: {{validation: 0.05}}
models:
  simcnn: {{architecture: simcnn, image_size: 32, train: {{epochs: 1, batch_size: 32, learning_rate: 1e-3}}}}
"""

# What both programs do before their clock starts.
START = """
import json, sys, time
from pathlib import Path
import numpy as np
import pandas as pd
from graft.backends import start_backend
start_backend("tensorflow", threads=2, deterministic=True)
import keras
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
store, = folder.glob("data/cifar10-*")
index = pd.read_parquet(store / "index.parquet")
splits = pd.read_parquet(folder / "results/overhead/splits/cifar10.parquet")
"""

OURS = (
    START
    + """
import graft.runs
from graft.arrays import gather, open_arrays
from graft.checkpoints import Checkpoints
from graft.predictions import save_predictions
start = time.perf_counter()
data = gather(index, splits, open_arrays(store / "32px/SHA256SUMS"))
spec = {"architecture": "simcnn", "image_size": 32, "options": {}, "weights": "none",
        "train": {"epochs": 1, "batch_size": 32, "optimizer": {"name": "adam"}, "learning_rate": 1e-3,
                  "schedule": {"name": "constant"}}}
checkpoints = Checkpoints(out / "state", "key")
trained = graft.runs.train_run(spec, data, 0, checkpoints=checkpoints)
save_predictions(out / "predictions.npz", graft.runs.predict_run(trained.network, data))
trained.model.save(out / "ours.keras")
seconds = time.perf_counter() - start
checkpoints.clear()  # or the next program had nothing to do
print(json.dumps({"seconds": seconds}))
"""
)

BARE = (
    START
    + """
from graft.finetune import build_network
split = splits.set_index("sample_id")["split"].reindex(index["sample_id"]).to_numpy()
label = index["label"].to_numpy()
start = time.perf_counter()
images = np.load(store / "32px/images.npy")
keras.utils.set_random_seed(0)
network = build_network("simcnn", 32, 10)
network.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
train, validation, test = (np.flatnonzero(split == name) for name in ("train", "validation", "test"))
network.fit(images[train], label[train], batch_size=32, epochs=1, verbose=0,
            validation_data=(images[validation], label[validation]), validation_batch_size=256)
np.savez(out / "bare.npz", *(network.predict(images[rows], batch_size=256, verbose=0) for rows in (validation, test)))
network.save(out / "bare.keras")
print(json.dumps({"seconds": time.perf_counter() - start}))
"""
)

ACCURACY = (
    START
    + """
from graft.arrays import gather, open_arrays
from graft.runs import predict_run, train_run
from graft.study_file import read_study
spec = read_study(sys.argv[3]).models[sys.argv[4]].trained
data = gather(index, splits, open_arrays(store / "32px/SHA256SUMS"))
data = data._replace(rows={**data.rows, "test": data.rows["test"][:1]})  # a prediction of all is not what is timed
start = time.perf_counter()
class Reached(Exception):
    pass
found = {}
def reached(epoch, values):
    found.update(epochs=epoch, accuracy=values["val_accuracy"], seconds=time.perf_counter() - start)
    if values["val_accuracy"] >= float(sys.argv[6]):
        raise Reached
try:
    trained = train_run(spec, data, int(sys.argv[5]), on_epoch=reached)
    validation = predict_run(trained.network, data, spec.get("test_time", ())).splits["validation"]
    found["accuracy"] = float((validation.log_prob.argmax(axis=1) == validation.label).mean())
    found["seconds"] = time.perf_counter() - start
except Reached:
    pass
print(json.dumps(found))
"""
)

OUR_IMPORTS = """
from graft.backends import start_backend
start_backend("tensorflow", threads=1, deterministic=True)
import pandas
from graft.arrays import gather, open_inputs
from graft.checkpoints import Checkpoints
from graft.jobs import job
from graft.predictions import save_predictions
from graft.runs import train_run
"""

MEMORY = """
import json, sys
from pathlib import Path
import numpy as np
from graft.backends import start_backend
start_backend("tensorflow", threads=2, deterministic=True)
import keras
from graft.arrays import Data
from graft.runs import predict_run, train_run
from graft.training import Batches

def anonymous() -> int:
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0])

folder, gib = Path(sys.argv[1]), float(sys.argv[2])
count = int(gib * 2**30 / (224 * 224 * 3))
images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (count, 224, 224, 3))
images = np.load(folder / "images.npy", mmap_mode="r")
random = np.random.default_rng(0)
rows = {"train": random.choice(count, 3_200, replace=False), "validation": np.arange(64), "test": np.arange(64)}
data = Data([images], np.arange(count) % 10, np.arange(count).astype(str), rows, [str(k) for k in range(10)])
spec = {"architecture": "simcnn", "image_size": 224, "options": {}, "weights": "none",
        "train": {"epochs": 1, "batch_size": 32, "optimizer": {"name": "sgd"}, "learning_rate": 1e-3,
                  "schedule": {"name": "constant"}}}
small = data._replace(rows={name: chosen[:64] for name, chosen in rows.items()})
train_run(spec, small, 0)
before, most = anonymous(), 0
read = Batches.__getitem__
def watched(self, number):
    global most
    most = max(most, anonymous())
    return read(self, number)
Batches.__getitem__ = watched
trained = train_run(spec, data, 0)
predict_run(trained.network, data)
print(json.dumps({"images": count, "mib": (max(most, anonymous()) - before) / 1024, "framework_mib": before / 1024}))
"""


def prepare(base: Path, folder: Path) -> None:
    (base / "study.yaml").write_text(STUDY.format(archive=(folder / "cifar10-images.tar.xz").resolve()))
    snakemake(base, base / "study.yaml", "datasets")


def overhead(folder: Path, repeats: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        prepare(base, folder)
        ratios = []
        for k in range(repeats + 1):
            ours, bare = (program(text, base, base)["seconds"] for text in (OURS, BARE))
            if k:  # the first pair warms the disk's cache
                ratios.append(ours / bare)
                print(f"train_model {ours:.1f} s, bare {bare:.1f} s", flush=True)
        print(f"ratio: {spread(ratios)}")


def accuracy(folder: Path, seeds: list[int]) -> None:
    recipes = {"simcnn_fast": "fast_cifar", "simcnn": "cifar10_simcnn_resnet50"}
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        prepare(base, folder)
        ratios = []
        for seed in seeds:
            took = {}
            for model, study in recipes.items():
                found = program(ACCURACY, base, base, ROOT / f"studies/{study}.yaml", model, seed, WANTED)
                took[model] = found["seconds"]
                shown = f"{found['accuracy']:.4f} after {found['epochs']} epochs and {found['seconds']:.1f} s"
                print(f"seed {seed}: {model} {shown}", flush=True)
            ratios.append(took["simcnn"] / took["simcnn_fast"])
        print(f"times as fast: {spread(ratios)}")


def startup(repeats: int) -> None:
    timed = "import time, json\nstart = time.perf_counter()\n{}\nprint(json.dumps({{'seconds': time.perf_counter() - start}}))"
    extra = []
    for k in range(repeats + 1):
        ours, bare = (program(timed.format(text))["seconds"] for text in (OUR_IMPORTS, "import tensorflow"))
        if k:
            extra.append(ours - bare)
    print(f"seconds beyond `import tensorflow`: {spread(extra)}")


def memory(gib: float) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        found = program(MEMORY, temporary, gib)
    print(
        f"{found['images']} images of 224 px, {gib:g} GiB: {found['mib']:.0f} MiB of anonymous memory beyond ", end=""
    )
    print(f"the {found['framework_mib']:.0f} MiB of the framework and a short training")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("overhead")
    first.add_argument("folder", type=Path)
    fast = commands.add_parser("accuracy")
    fast.add_argument("folder", type=Path)
    fast.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    second = commands.add_parser("startup")
    for each in (first, second):
        each.add_argument("--repeats", type=int, default=3)
    commands.add_parser("memory").add_argument("--gib", type=float, default=20)
    options = parser.parse_args()
    if options.command == "overhead":
        overhead(options.folder, options.repeats)
    elif options.command == "accuracy":
        accuracy(options.folder, options.seeds)
    elif options.command == "startup":
        startup(options.repeats)
    else:
        memory(options.gib)


if __name__ == "__main__":
    main()
