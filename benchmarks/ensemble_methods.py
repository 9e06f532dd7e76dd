"""What each way to combine networks is worth: `studies/digits_ensembles.yaml` and `studies/flowers_ensembles.yaml`.

    python benchmarks/ensemble_methods.py KEPT [--flowers FOLDER]

KEPT is where the studies run, and keeps what they made. FOLDER holds flower_photos.tgz, published or reduced; without it
the digits are all. Prints a table per study: of each ensemble the members, the top-1 accuracy on the test split with its
95% interval, the best member (by validation log loss) and its accuracy, and the difference of the two with its paired
interval. Whatever is chosen is chosen on the validation split.
"""

import argparse
import csv
import json
from pathlib import Path

from common import ROOT, snakemake
from ruamel.yaml import YAML

from graft.files import sha256


def write_study(folder: Path, name: str, archive: Path | None) -> Path:
    """The shipped study under a name of its own, and the archive that is there."""
    study = {"extends": str(ROOT / f"studies/{name}.yaml"), "study": f"{name}_measured"}
    if archive:
        study |= {"mirror": [str(archive.parent.resolve())]}
        study |= {"datasets": {"flowers": {"source": {"name": "flower_photos", "sha256": sha256(archive)}}}}
    path = folder / f"{name}.yaml"
    YAML(typ="safe", pure=True).dump(study, path)
    return path


def signed(value: str | float) -> str:
    return f"{float(value):+.4f}"


def print_table(results: Path) -> None:
    """The rows of a study's ensembles, in its order, as a Markdown table."""
    print("| ensemble | method | members | test accuracy | best member | its accuracy | difference |")
    print("|---|---|---|---|---|---|---|")
    for row in csv.DictReader((results / "tables/ensembles.csv").open()):
        if row["split"] != "test":
            continue
        path = results / f"ensembles/{row['dataset']}/{row['ensemble']}/ensemble.json"
        best = json.loads(path.read_text())["best_member"]
        accuracy = f"{float(row['top1']):.4f} ({float(row['top1_low']):.4f} to {float(row['top1_high']):.4f})"
        interval = f"{signed(best['difference_low'])} to {signed(best['difference_high'])}"
        print(
            f"| `{row['ensemble']}` | {row['method']} | {row['members']} | {accuracy} | {best['member']} "
            f"| {best['top1']:.4f} | {signed(best['difference'])} ({interval}) |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kept", type=Path)
    parser.add_argument("--flowers", type=Path)
    arguments = parser.parse_args()
    arguments.kept.mkdir(parents=True, exist_ok=True)
    archives: dict[str, Path | None] = {"digits_ensembles": None}
    if arguments.flowers:
        archives["flowers_ensembles"] = arguments.flowers / "flower_photos.tgz"
    for name, archive in archives.items():
        study = write_study(arguments.kept, name, archive)
        results = Path(f"results/{name}_measured")
        seconds = snakemake(arguments.kept, study, str(results / "tables/ensembles.csv"))
        print(f"{name}: {seconds / 60:.0f} minutes")
        print_table(arguments.kept / results)


if __name__ == "__main__":
    main()
