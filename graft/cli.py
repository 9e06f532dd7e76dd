"""The command ``graft``: what is done with a study outside of the workflow."""

import argparse
import csv
import logging
import math
import os
import shutil
import sys
import time
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

STATUS = """\
Shows how far studies are while they run, from the files on disk alone, and disturbs nothing. A RESULTS_FOLDER is
results/<study>; without one, every folder below results/ that has logs is shown.

A job is one log in results/<study>/logs/. The numbers of jobs are of the newest run of Snakemake that is of the study,
whose log is in .snakemake/log/; where none is known to be, "earlier" and "left" are unknown. What is unknown is a dash.

stages:
  earlier    done before this run began; some may be gone from the study, or about to be done again
  done       done since: Snakemake has written the job's benchmark after the last line of its log
  running    a process of this machine has the log open; or Snakemake holds its lock, and the log was written to in the
             last ten minutes (a job on another machine of a cluster)
  failed     Snakemake's log says so, of the job or of as many jobs of its rule as neither are done nor run
  silent     neither done, nor known to run or to have failed: no sign of life since its log was written to
  left       planned in the table at the top of Snakemake's log, and none of the above
  time left  if as many jobs run at a time as now: of trainings and searches as below, of trainings that have not begun
             as long as those of their model from other seeds took, in the mean; "> " where that is of a part of them
trainings and searches that run, from their logs:
  epoch      the last that the log names, of how many; step: where in it, once an epoch takes longer than a minute
  best acc   the highest accuracy, and best loss the lowest loss, of the validation split in the epochs in the log: of a
             training that was stopped and goes on, those since
  trials     complete or pruned, of how many; pruned: of these; failed: of the others; best: the best value of all;
             epoch: of the trial that runs now, if there is one worker
  time left  at the pace of the last epochs if early stopping does not end it, or of the trials so far
  said       how long ago its log was written to

Below stand the other jobs that run, and those that failed or are silent, with what they said last and where."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="graft", description="What is done with a study outside of Snakemake.")
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
    status = commands.add_parser(
        "status",
        help="show how far studies are while they run",
        description=STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    status.add_argument(
        "folders", metavar="RESULTS_FOLDER", nargs="*", help="results/<study> (default: each below results/ with logs)"
    )
    status.add_argument(
        "--watch",
        type=_seconds,
        nargs="?",
        const=5.0,
        metavar="SECONDS",
        help="show it anew every so many seconds until Ctrl-C (default: 5)",
    )
    status.set_defaults(run=_status)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _seconds(text: str) -> float:
    try:
        if 0 < (seconds := float(text)) < math.inf:
            return seconds
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0; folders stand before --watch")


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
        logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of several networks in one process
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


# -- graft status --------------------------------------------------------------------------------------------------------


def _beside(path: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return _shown(path.relative_to(here) if path.is_relative_to(here) else path)


def _status_lines(folders: Sequence[str], width: int) -> list[str]:
    """What is known of the studies now, an empty line between two."""
    from graft.status import find_studies, held_files, read_status, status_lines

    found = [Path(folder) for folder in folders] or find_studies("results")
    if not found:
        raise UserError(
            "results: no study with logs below it; name a RESULTS_FOLDER, or start where snakemake was started"
        )
    held, lines = held_files(), []
    for folder in found:
        lines += ["", *status_lines(read_status(folder, time.time(), held), width, _beside)]
    return lines[1:]


def _status(chosen: argparse.Namespace) -> int:
    on_terminal = sys.stdout.isatty()
    clear = "\x1b[2J" if on_terminal else ""
    try:
        while True:
            width, height = shutil.get_terminal_size((160, 24))
            lines = _status_lines(chosen.folders, width)
            if chosen.watch is None:
                print("\n".join(lines))
                return 0
            if not on_terminal:
                print("\n".join(lines), end="\n\n", flush=True)
            else:
                if len(lines) >= height:
                    more = f"... and {len(lines) - height + 2} lines more"
                    lines = [*lines[: max(height - 2, 0)], more[:width]]
                # Drawn over what was there, which does not flicker.
                print(f"{clear}\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J", end="", flush=True)
                clear = ""
            time.sleep(chosen.watch)
    except KeyboardInterrupt:
        return 0 if chosen.watch else 130


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
