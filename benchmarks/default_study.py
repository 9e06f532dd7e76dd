"""How long the default study takes, and how accurate it is: `make run` in a fresh copy, for split seeds 0 and 1.

    python benchmarks/default_study.py [--seeds 0 1] [--keep FOLDER]

Uses the environment that it runs in, so set-up is not part of the time. Prints the wall time of each study, of a second
`snakemake --cores all` with nothing to do, and the mean test accuracy of each model and ensemble over training seeds and
split seeds.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]


def run(folder: Path) -> float:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    start = time.perf_counter()
    done = subprocess.run(
        ["snakemake", "--cores", "all"],
        cwd=folder,
        env=os.environ | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stdout)
    return time.perf_counter() - start


def scores(folder: Path) -> pd.DataFrame:
    tables = [pd.read_csv(folder / f"results/digits/tables/{name}.csv") for name in ("runs", "ensembles")]
    rows = pd.concat([tables[0], tables[1].rename(columns={"ensemble": "model"})])
    return rows.loc[rows["split"] == "test", ["model", "seed", "images", "top1"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="seeds of the split")
    parser.add_argument("--keep", type=Path, help="an empty folder to leave the studies in")
    options = parser.parse_args()
    base = options.keep or Path(tempfile.mkdtemp())
    found = []
    for seed in options.seeds:
        folder = base / f"split{seed}"
        folder.mkdir(parents=True)
        for name in ("Snakefile", "config.yaml", "rules", "scripts", "graft", "profiles", "envs"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
        study = (ROOT / "config.yaml").read_text()
        written = study.replace("test: 0.2, seed: 0}", f"test: 0.2, seed: {seed}}}")
        assert seed == 0 or written != study, "config.yaml no longer names the seed of its split as expected"
        (folder / "config.yaml").write_text(written)
        first, second = run(folder), run(folder)
        print(f"split seed {seed}: {first:.0f} s; again, with nothing to do: {second:.1f} s", flush=True)
        found.append(scores(folder).assign(split_seed=seed))
    if options.keep is None:
        shutil.rmtree(base)
    table = pd.concat(found).groupby("model", sort=False)["top1"].agg(["mean", "min", "max", "count"])
    print(table.sort_values("mean", ascending=False).to_string(float_format="{:.4f}".format))


if __name__ == "__main__":
    main()
