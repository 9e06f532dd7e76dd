"""How much time and memory training takes beside what Keras itself would take.

    python benchmarks/training.py overhead FOLDER [--repeats 3]
    python benchmarks/training.py startup [--repeats 3]
    python benchmarks/training.py memory [--gib 20]

`overhead`: one epoch of SimCNN on CIFAR-10, batches of 32, and what `train_model` does besides (reading, validation,
predictions, saving), against a bare Keras script of the same arithmetic on an array in memory; start-up is left out of
both. FOLDER holds cifar10-images.tar.xz. `startup`: importing what `train_model` imports, against importing TensorFlow.
`memory`: anonymous resident memory while SimCNN trains on batches from all over a sparse file of so many GiB, beyond that of
the framework with the network built.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

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


def program(text: str, *arguments: object) -> dict[str, float]:
    command = [sys.executable, "-c", text, *map(str, arguments)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def spread(values: list[float]) -> str:
    return f"median {statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f}, n = {len(values)})"


def overhead(folder: Path, repeats: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        (base / "study.yaml").write_text(STUDY.format(archive=(folder / "cifar10-images.tar.xz").resolve()))
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        command = [
            "snakemake",
            "--cores",
            "all",
            "datasets",
            "--directory",
            str(base),
            "--snakefile",
            str(ROOT / "Snakefile"),
        ]
        command += ["--workflow-profile", str(ROOT / "profiles/default"), "--configfile", str(base / "study.yaml")]
        done = subprocess.run(command, env=os.environ | {"PATH": path}, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        ratios = []
        for k in range(repeats + 1):
            ours, bare = (program(text, base, base)["seconds"] for text in (OURS, BARE))
            if k:  # the first pair warms the disk's cache
                ratios.append(ours / bare)
                print(f"train_model {ours:.1f} s, bare {bare:.1f} s", flush=True)
        print(f"ratio: {spread(ratios)}")


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
    second = commands.add_parser("startup")
    for each in (first, second):
        each.add_argument("--repeats", type=int, default=3)
    commands.add_parser("memory").add_argument("--gib", type=float, default=20)
    options = parser.parse_args()
    if options.command == "overhead":
        overhead(options.folder, options.repeats)
    elif options.command == "startup":
        startup(options.repeats)
    else:
        memory(options.gib)


if __name__ == "__main__":
    main()
