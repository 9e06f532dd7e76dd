"""How long Snakemake plans a study of 1,000 training jobs, against a bare Snakefile of the same jobs and files.

    python benchmarks/planning.py [--runs 5]

Both are planned with `snakemake --dry-run` under the default profile, in turn, in a copy of the project in which nothing
has run. Prints the seconds of each and the median of their ratios.
"""

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODELS, SEEDS = 10, 100

BARE = """\
MODELS = [f"m{{k}}" for k in range({models})]
SEEDS = range({seeds})
RUN = "results/bare/runs/{{model}}/seed{{seed}}/"

rule all:
    input: "results/bare/report.html"

rule raw:
    output: "data/raw.txt"
    shell: "touch {{output}}"

rule index:
    input: "data/raw.txt"
    output: "data/index.parquet", "data/SHA256SUMS"
    shell: "touch {{output}}"

rule images:
    input: "data/raw.txt", "data/index.parquet"
    output: "data/images.npy", "data/images.sums"
    shell: "touch {{output}}"

rule split:
    input: "data/index.parquet"
    output: "results/bare/splits.parquet", "results/bare/splits.sums"
    shell: "touch {{output}}"

rule train:
    input: "data/images.sums", "data/index.parquet", "results/bare/splits.parquet"
    output: RUN + "model.keras", RUN + "history.csv", RUN + "predictions.npz", RUN + "runtime.json", RUN + "SHA256SUMS"
    shell: "touch {{output}}"

rule combine:
    input: expand(RUN + "predictions.npz", model=MODELS, seed=SEEDS)
    output: "results/bare/ensemble.npz", "results/bare/ensemble.json", "results/bare/members.csv", "results/bare/sums"
    shell: "touch {{output}}"

rule evaluate:
    input: expand(RUN + "predictions.npz", model=MODELS, seed=SEEDS), "results/bare/ensemble.npz"
    output: "results/bare/runs.csv", "results/bare/models.csv", "results/bare/ensembles.csv"
    shell: "touch {{output}}"

rule curves:
    input: lambda w: expand(RUN + "history.csv", model=w.model, seed=SEEDS)
    output: "results/bare/curves.{{model}}.png"
    shell: "touch {{output}}"

rule confusion:
    input: lambda w: expand(RUN + "predictions.npz", model=w.model, seed=SEEDS)
    output: "results/bare/confusion.{{model}}.png"
    shell: "touch {{output}}"

rule others:
    input: "results/bare/runs.csv", "data/images.sums"
    output: "results/bare/comparison.png", "results/bare/samples.png", "results/bare/ensemble.png"
    shell: "touch {{output}}"

rule report:
    input:
        expand("results/bare/{{kind}}.{{model}}.png", kind=["curves", "confusion"], model=MODELS),
        expand(RUN + "runtime.json", model=MODELS, seed=SEEDS),
        "results/bare/comparison.png", "results/bare/runs.csv", "results/bare/ensemble.npz",
    output: "results/bare/report.html"
    shell: "touch {{output}}"
"""

MODEL = """\
  m{k}:
    architecture: simcnn
    image_size: 32
    train: {{epochs: 1, learning_rate: {rate}}}
"""


def study() -> str:
    models = "".join(MODEL.format(k=k, rate=1e-4 * (k + 1)) for k in range(MODELS))
    head = f"study: planning\nseeds: {list(range(SEEDS))}\ndatasets:\n  digits:\n    source: digits\n"
    head += "    split: {validation: 0.1, test: 0.2}\nmodels:\n"
    return f"{head}{models}ensembles:\n  everything: {{method: soft_vote}}\n"


def seconds(folder: Path, *arguments: str) -> float:
    start = time.perf_counter()
    subprocess.run(["snakemake", "--dry-run", *arguments], cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("Snakefile", "config.yaml", "rules", "scripts", "graft", "profiles", "envs"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
        (folder / "planning.yaml").write_text(study())
        (folder / "Bare").write_text(BARE.format(models=MODELS, seeds=SEEDS))
        pairs = []
        for number in range(runs + 1):
            ours = seconds(folder, "--configfile", "planning.yaml")
            bare = seconds(folder, "--snakefile", "Bare", "--workflow-profile", "profiles/default")
            if number:  # the first of each warms the disk
                pairs.append((ours, bare))
                print(f"study {ours:.2f} s   bare {bare:.2f} s   ratio {ours / bare:.2f}")
    print(f"median ratio {statistics.median(ours / bare for ours, bare in pairs):.2f} (n = {runs})")


if __name__ == "__main__":
    main()
