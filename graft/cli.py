"""The command ``graft``: what is done with finished results, outside of the workflow."""

import argparse
import csv
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from graft.errors import UserError
from graft.files import replacing

PREDICT = """\
Says which classes new images belong to. ENSEMBLE is the ensemble.json of a finished ensemble
(results/<study>/ensembles/<data set>/<name>/ensemble.json), whose networks are loaded from where they lie beside it. A
single model is an ensemble of one member. Images are decoded and resized as those of the study were.

Without --output, prints the most probable classes of each image. With it, writes a CSV file with one row per image: image
(the path), class (the most probable one), probability (its), and p_<class> for each class.

A file that is no image, or is damaged, is named and left out; the exit status is then 1."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="graft", description="What is done with the results of a finished study.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    predict = commands.add_parser(
        "predict",
        help="say which classes new images belong to",
        description=PREDICT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    predict.add_argument("ensemble", metavar="ENSEMBLE", help="the ensemble.json of a finished ensemble")
    predict.add_argument(
        "images", metavar="IMAGE", nargs="+", help="an image, or a folder, of which all images are taken, however deep"
    )
    predict.add_argument("--output", metavar="FILE", help="the CSV file to write; one that is there is replaced")
    predict.add_argument(
        "--top", type=_count, default=5, metavar="K", help="print so many classes of each image (default: 5)"
    )
    predict.add_argument(
        "--batch-size",
        type=_count,
        default=64,
        metavar="N",
        help="images that a network sees at a time; fewer need less memory (default: 64)",
    )
    predict.add_argument(
        "--backend",
        choices=["tensorflow", "jax", "torch"],
        default="tensorflow",
        help="what Keras computes with, whatever the study used (default: tensorflow)",
    )
    predict.set_defaults(run=_predict)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _complain(text: str) -> None:
    print(f"graft: {text}", file=sys.stderr)


def _shown(path: Path) -> str:
    """A path as a terminal may show it: a name may hold what moves its cursor, or is no text."""
    return str(path) if str(path).isprintable() else ascii(str(path))


@contextmanager
def _without_native_messages() -> Iterator[None]:
    """Keeps from standard error what a framework says of itself while it is loaded; what is raised stays."""
    sys.stderr.flush()
    before, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nothing)


# -- graft predict -------------------------------------------------------------------------------------------------------


@contextmanager
def _csv(output: Path, classes: Sequence[str]) -> Iterator[Any]:
    """Yields what writes a row per image: path, and log probabilities (classes,)."""
    if output.is_dir():
        raise UserError(f"{output}: a folder; name a file")
    with replacing(output) as beside, beside.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "class", "probability", *(f"p_{name}" for name in classes)])

        def write(path: Path, log_prob: np.ndarray) -> None:
            numbers = [f"{value:.9g}" for value in np.exp(log_prob.astype(np.float64))]
            best = int(log_prob.argmax())
            writer.writerow([path, classes[best], numbers[best], *numbers])

        yield write


@contextmanager
def _table(paths: Sequence[Path], classes: Sequence[str], top: int) -> Iterator[Any]:
    """Yields what prints a line per image, of the ``top`` most probable classes; takes what that of :func:`_csv` takes."""
    width, wide = max(len(_shown(path)) for path in paths), max(map(len, classes))

    def write(path: Path, log_prob: np.ndarray) -> None:
        best = np.argsort(-log_prob, kind="stable")[:top]
        said = "  ".join(f"{classes[k]:<{wide}} {np.exp(float(log_prob[k])):.4f}" for k in best)
        print(f"{_shown(path):<{width}}  {said}", flush=True)

    yield write


def _predict(chosen: argparse.Namespace) -> int:
    # What is wrong is said before a network framework takes seconds to load.
    from graft.backends import start_backend
    from graft.devices import lease_gpus
    from graft.labelling import labeller, read_ensemble
    from graft.predict import find_images, label_files

    ensemble, paths = read_ensemble(chosen.ensemble), find_images(chosen.images)
    label = labeller(ensemble, chosen.batch_size)
    output = Path(chosen.output) if chosen.output else None
    shown = _csv(output, ensemble.classes) if output else _table(paths, ensemble.classes, chosen.top)
    done = unreadable = 0
    with shown as write, lease_gpus(1, chosen.backend, _complain):
        with _without_native_messages():
            start_backend(chosen.backend, threads=os.cpu_count() or 1, deterministic=False)
        for part in label_files(ensemble, label, paths):
            for path, log_prob in zip(part.paths, part.log_prob, strict=True):
                write(path, log_prob)
            for path, reason in part.unreadable.items():
                _complain(f"{_shown(path)}: {reason}")
            done, unreadable = done + len(part.paths), unreadable + len(part.unreadable)
            if done + unreadable < len(paths):
                _complain(f"{done + unreadable:,} of {len(paths):,} images")
    if output:
        print(f"{done:,} of {len(paths):,} images are in {output}")
    return 1 if unreadable else 0


# -- the command ---------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments``, or those of this process; returns the exit status.

    0 if all was done, 1 if something could not be, which stands on standard error in one line, and 2 if the command was
    not understood.
    """
    chosen = _parser().parse_args(arguments)
    try:
        status: int = chosen.run(chosen)
        return status
    except UserError as error:
        _complain(str(error))
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        _complain(": ".join(filter(None, [str(error.filename or ""), error.strerror or str(error)])))
    except KeyboardInterrupt:
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
