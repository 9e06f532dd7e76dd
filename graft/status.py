"""How far a study is: read from what its jobs and Snakemake leave on disk while they run, and nothing else.

A job is one log below ``results/<study>/logs/<rule>/``. It is done when its benchmark, which Snakemake writes after a job
has succeeded, is not older than its log. What is being written or removed meanwhile is never an error.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from graft.errors import UserError

QUIET = 600.0
"""Seconds without a line after which a job that no process of this machine runs is taken to be silent."""
RECENT = 5
"""The time left follows from so many of the last epochs."""
UNKNOWN = "-"

STAGES = {
    "download": ["download"],
    "prepare": ["index", "prepare", "describe", "split"],
    "features": ["compute"],
    "tune": ["tune", "collect", "rerun", "choose"],
    "train": ["train"],
    "ensemble": ["embed", "combine", "concat", "average", "label"],
    "evaluate": ["evaluate", "compare"],
    "figures": ["draw"],
    "report": ["format", "write"],
    "other": [],
}
"""The stages of a study, and the verbs that the names of their rules begin with."""

_STAMP = r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3})  "
_LINE = re.compile(_STAMP + "(.+)")
_EPOCH = re.compile(_STAMP + r"epoch (\d+)/(\d+)  (?:step (\d+)/(\d+)  )?(.*)")
_TRIAL = re.compile(
    _STAMP
    + r"(?:trial \d+; )?(\d+) of (\d+) done \((\d+) pruned\), (\d+) failed(?:, best (\w+) (\S+) \(trial (\d+)\))?"
)
_PLANNED = re.compile(r"(\S+) +(\d+)")
_STEPS = re.compile(r"(\d+) of (\d+) steps \([\d.]+%\) done")
_NAMED = re.compile(r"^ +log: (.+) \(check log file\(s\) for error details\)$", re.MULTILINE)
_BROKEN = re.compile(r"^Command '.*\.snakemake/scripts/\w+\.(\w+)\.py' (?:returned|died)", re.MULTILINE)


def stage_of(rule: str) -> str:
    """The stage that a rule belongs to, by the verb in its name."""
    verb = rule.partition("_")[0]
    return next((stage for stage, verbs in STAGES.items() if verb in verbs), "other")


# -- what a log says -----------------------------------------------------------------------------------------------------


class Training(NamedTuple):
    """Where a training is: the last of ``epochs`` that its log names, and what was best among those that ended.

    ``step`` of ``steps`` is known where the log has a line of an epoch that goes on. ``accuracy`` and ``loss`` are the
    highest and the lowest of the validation split, ``left`` seconds from now if nothing ends it early.
    """

    epoch: int
    epochs: int
    step: int | None
    steps: int | None
    accuracy: float | None
    loss: float | None
    left: float | None


class Search(NamedTuple):
    """Where a search is, as its workers last said: trials that are complete or pruned, of how many, and the best.

    ``epoch`` of ``epochs`` is that of the trial that runs, ``left`` seconds from now if all the others take as long as
    those before.
    """

    done: int
    trials: int
    pruned: int
    failed: int
    best: str | None
    epoch: int | None
    epochs: int | None
    left: float | None


class Plan(NamedTuple):
    """What a log of Snakemake says: jobs of each rule, steps done and in all, what failed, and whether it came to its end.

    ``failed`` are the logs of the jobs that failed, as far as they are named; ``broken`` counts, for each script, the jobs
    of which Snakemake says no more than that.
    """

    planned: Mapping[str, int]
    done: int
    steps: int
    failed: Collection[str]
    broken: Mapping[str, int]
    ended: bool


def _time(stamp: str) -> float:
    """Seconds since the epoch of a time as jobs log it."""
    return datetime.fromisoformat(stamp).timestamp()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Of the lines that are whole, those that match."""
    return filter(None, map(pattern.fullmatch, text.rpartition("\n")[0].split("\n")))


def _last_attempt(text: str) -> list[re.Match[str]]:
    """The lines of epochs since a training began for the last time: memory or the loss may have made it begin anew."""
    found: list[re.Match[str]] = []
    for match in _matches(_EPOCH, text):
        if found and int(match[2]) < int(found[-1][2]):
            found = []
        found.append(match)
    return found


def _left(times: Sequence[float], remaining: int, now: float) -> float | None:
    """Seconds left of so many further epochs, after some that ended at these times."""
    times = times[-RECENT - 1 :]
    if len(times) < 2:
        return None
    return max(remaining * (times[-1] - times[0]) / (len(times) - 1) - (now - times[-1]), 0.0)


def read_training(text: str, now: float) -> Training | None:
    """What the log of a training says at a time, in seconds since the epoch; None before its first line of an epoch."""
    attempt = _last_attempt(text)
    if not attempt:
        return None
    last, ended = attempt[-1], [match for match in attempt if match[4] is None]
    pairs = [pair.rpartition(" ") for match in ended for pair in match[6].split("  ")]

    def values(name: str) -> list[float]:
        return [value for key, _, shown in pairs if key == name and (value := _number(shown)) is not None]

    epochs = int(last[3])
    left = _left([_time(match[1]) for match in ended], epochs - int(ended[-1][2]), now) if ended else None
    step, steps = (int(last[4]), int(last[5])) if last[4] else (None, None)
    best, least = max(values("val_accuracy"), default=None), min(values("val_loss"), default=None)
    return Training(int(last[2]), epochs, step, steps, best, least, left)


def read_search(texts: Sequence[str], now: float) -> Search | None:
    """What the logs of the workers of a search say at a time; None before the end of the first trial."""
    said = sorted((match for text in texts for match in _matches(_TRIAL, text)), key=lambda match: match[1])
    if not said:
        return None
    first, last = said[0], max(said, key=lambda match: (int(match[2]), match[1]))
    done, trials = int(last[2]), int(last[3])
    left, more = None, done - int(first[2])
    if more > 0:
        seconds = _time(last[1]) - _time(first[1])
        left = max((trials - done) * seconds / more - (now - _time(last[1])), 0.0)
    epoch = epochs = None
    if len(texts) == 1 and (attempt := _last_attempt(texts[0])) and attempt[-1][1] > last[1]:
        epoch, epochs = int(attempt[-1][2]), int(attempt[-1][3])
    best = f"{last[6].removeprefix('val_')} {last[7]}" if last[6] else None
    return Search(done, trials, int(last[4]), int(last[5]), best, epoch, epochs, left)


def _table(text: str) -> dict[str, int]:
    """The jobs of each rule in the table that a log of Snakemake begins with; none if the table is not whole."""
    planned: dict[str, int] = {}
    for line in text.partition("\nJob stats:\n")[2].split("\n")[2:]:
        match = _PLANNED.fullmatch(line.rstrip())
        if not match:
            break
        if match[1] == "total":
            return planned
        planned[match[1]] = int(match[2])
    return {}


def read_plan(text: str) -> Plan | None:
    """What a log of Snakemake says; None if it planned no jobs, or has not yet."""
    planned = _table(text)
    if not planned:
        return None
    steps = list(_matches(_STEPS, text))
    done = int(steps[-1][1]) if steps else 0
    failed = {log for named in _NAMED.findall(text) for log in named.split(", ")}
    return Plan(
        planned, done, sum(planned.values()), failed, Counter(_BROKEN.findall(text)), "\nComplete log(s): " in text
    )


# -- what is on disk -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A job that has a log: ``name`` is its path below the rule's folder, ``seconds`` how long it took if it is done.

    ``text`` is what its log holds, unless it is done.
    """

    rule: str
    name: str
    log: Path
    written: float
    finished: float | None = None
    seconds: float | None = None
    text: str = ""
    state: str = "waiting"


@dataclass(frozen=True)
class Workflow:
    """A run of Snakemake: when it started and last wrote, and whether it is known to run, or may for it holds a lock.

    ``outputs`` is what a run that holds a lock makes.
    """

    plan: Plan
    started: float
    written: float
    held: bool = False
    locked: bool = False
    outputs: Collection[str] = ()


@dataclass(frozen=True)
class Status:
    """All that is known of a study at a time."""

    name: str
    now: float
    jobs: Sequence[Job] = ()
    workflow: Workflow | None = None
    trainings: Mapping[str, Training] = field(default_factory=dict)
    searches: Mapping[str, Search] = field(default_factory=dict)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _mtime(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _files(folder: Path, suffix: str) -> list[Path]:
    return sorted(
        Path(found) / name for found, _, names in os.walk(folder) for name in names if Path(name).suffix == suffix
    )


def held_files() -> set[Path]:
    """The files that processes of this machine write, as far as one may see: a job has its log open until it ends."""
    import psutil

    held = set()
    for process in psutil.process_iter():
        try:
            # Where the system tells, not those that are only read, as by `tail -f`.
            held |= {Path(file.path) for file in process.open_files() if getattr(file, "mode", "w") != "r"}
        except (psutil.Error, OSError):
            continue
    return held


def _seconds(benchmark: Path) -> float | None:
    """How long a job took, by its benchmark."""
    rows = [line.split("\t") for line in _read(benchmark).splitlines()]
    return _number(rows[1][0]) if len(rows) > 1 and rows[0][0] == "s" else None


def _job(path: Path, results: Path) -> Job | None:
    """A job by its log: done or not."""
    written = _mtime(path)
    place = path.relative_to(results / "logs").with_suffix("")
    # A rule that has a single job logs to a file of its own name.
    rule, name = place.parts[0], "/".join(place.parts[1:])
    if written is None:
        return None
    benchmark = results / "benchmarks" / place.with_name(f"{place.name}.tsv")
    ended = _mtime(benchmark)
    if ended is not None and ended >= written:
        return Job(rule, name, path, written, ended, _seconds(benchmark), state="done")
    return Job(rule, name, path, written, text=_read(path))


def _started(log: Path) -> float | None:
    """When a run of Snakemake started, which its log is named after."""
    try:
        return datetime.strptime(log.name.removesuffix(".snakemake.log"), "%Y-%m-%dT%H%M%S.%f").timestamp()
    except ValueError:
        return None


def _locks(root: Path) -> Iterator[tuple[float, list[str]]]:
    """Of each lock that runs of Snakemake hold: when it was taken, and on what."""
    for path in _files(root / ".snakemake/locks", ".lock"):
        taken = _mtime(path)
        if path.name.endswith(".output.lock") and taken is not None:
            yield taken, _read(path).splitlines()


def _workflow(results: Path, jobs: Sequence[Job], held: Collection[Path]) -> Workflow | None:
    """The newest run of Snakemake that is of this study: it holds a lock on its results, names them, or ran while its
    jobs, and those of no other study in the folder, wrote their logs."""
    root, prefix = results.parent.parent, f"results/{results.name}/"
    logs = {path: started for path in _files(root / ".snakemake/log", ".log") if (started := _started(path))}
    locks: dict[Path, list[str]] = {}
    for taken, outputs in _locks(root):
        # A lock does not say whose it is; it is taken right after the plan is made.
        before = [path for path, started in logs.items() if started <= taken]
        if before:
            locks[before[-1]] = outputs
    for path, started in sorted(logs.items(), key=lambda item: -item[1]):
        text, written = _read(path), _mtime(path)
        plan = read_plan(text)
        if plan is None or written is None:
            continue
        outputs, span = locks.get(path, []), (started, written + 1)
        ours = any(output.startswith(prefix) for output in outputs)
        if ours or (not outputs and (prefix in text or _alone(results, jobs, span))):
            return Workflow(plan, started, written, path.resolve() in held, ours and not plan.ended, outputs)
    return None


def _alone(results: Path, jobs: Sequence[Job], span: tuple[float, float]) -> bool:
    """Whether jobs of this study wrote in this span of time, and no other study's did."""

    def within(times: Iterable[float | None]) -> bool:
        return any(time is not None and span[0] <= time <= span[1] for time in times)

    others = (folder for folder in find_studies(results.parent) if folder.name != results.name)
    return within(job.written for job in jobs) and not any(
        within(map(_mtime, _files(folder / "logs", ".log"))) for folder in others
    )


def _state(job: Job, workflow: Workflow | None, held: Collection[Path], broken: Collection[str], now: float) -> str:
    if job.finished is not None:
        return "done"
    if job.log.resolve() in held:
        return "running"
    if workflow and job.written < workflow.started:
        return "waiting"
    named = workflow.plan.failed if workflow else ()
    if any(job.log.as_posix().endswith(log) for log in named) or job.rule in broken:
        return "failed"
    if workflow and workflow.locked and now - job.written < QUIET:
        return "running"  # on another machine, or its benchmark is about to be written
    return "silent"


def _broken_rules(jobs: Sequence[Job], workflow: Workflow | None, held: Collection[Path]) -> set[str]:
    """The rules of which Snakemake says that as many jobs failed as are neither done nor running."""
    if workflow is None:
        return set()
    open_ = Counter(
        job.rule
        for job in jobs
        if job.finished is None and job.written >= workflow.started and job.log.resolve() not in held
    )
    return {rule for rule, count in open_.items() if count <= workflow.plan.broken.get(rule, 0)}


def read_status(results: str | Path, now: float, held: Collection[Path]) -> Status:
    """What is known of the study whose results are in a folder, at a time in seconds since the epoch.

    ``held`` are the files that processes write, as :func:`held_files` finds them.

    Raises:
        UserError: the folder is not there, or no job of a study has logged in it.
    """
    if not (Path(results) / "logs").is_dir():
        raise UserError(
            f"{results}: no folder of results with logs; name results/<study> of a study that has been started"
        )
    # Links stay, for Snakemake runs beside a link to results that are elsewhere.
    results = Path(os.path.abspath(results))  # noqa: PTH100
    found = [_job(path, results) for path in _files(results / "logs", ".log")]
    plain = [job for job in found if job]
    workflow = _workflow(results, plain, held)
    broken = _broken_rules(plain, workflow, held)
    jobs = [Job(**{**vars(job), "state": _state(job, workflow, held, broken, now)}) for job in plain]
    running = [job for job in jobs if job.state == "running"]
    trainings = {
        f"{job.rule}/{job.name}": training
        for job in running
        if job.rule in ("train_model", "rerun_trial") and (training := read_training(job.text, now))
    }
    workers: dict[str, list[str]] = {}
    for job in running:
        if job.rule == "tune_model":
            workers.setdefault(job.name.rpartition("/")[0], []).append(job.text)
    searches = {name: search for name, texts in workers.items() if (search := read_search(texts, now))}
    return Status(results.name, now, jobs, workflow, trainings, searches)


def find_studies(folder: str | Path) -> list[Path]:
    """The folders of results below ``folder`` that have logs, by name."""
    try:
        return sorted(path for path in Path(folder).iterdir() if (path / "logs").is_dir())
    except OSError:
        return []


# -- what is shown -------------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """A stage: its jobs by what became of them; None is what cannot be known."""

    earlier: int | None
    done: int
    running: int
    failed: int
    silent: int
    left: int | None
    seconds: float | None
    at_least: bool = False


def _waiting_trainings(status: Status) -> list[float | None]:
    """How long each training that has not begun may take: as those of its model from other seeds did, in the mean."""
    if not (status.workflow and status.workflow.locked):
        return []
    since = status.workflow.started
    begun = {
        job.name for job in status.jobs if job.rule == "train_model" and max(job.written, job.finished or 0) >= since
    }
    pattern = re.compile(rf"results/{re.escape(status.name)}/runs/(.+)/SHA256SUMS")
    names = {match[1] for output in status.workflow.outputs if (match := pattern.fullmatch(output))} - begun
    took: dict[str, list[float]] = {}
    for job in status.jobs:
        if job.rule == "train_model" and job.seconds is not None:
            took.setdefault(job.name.rpartition("/")[0], []).append(job.seconds)
    means = {model: sum(seconds) / len(seconds) for model, seconds in took.items()}
    return [means.get(name.rpartition("/")[0]) for name in sorted(names)]


def _expected(status: Status, stage: str, running: Sequence[Job], left: int | None) -> tuple[float | None, bool]:
    """Seconds until a stage is over, if as many of its jobs run at a time as now; and whether that is of a part of them."""
    if not running or left is None:
        return None, False
    shown: dict[str, float | None] = {f"{job.rule}/{job.name}": None for job in running}
    shown |= {name: training.left for name, training in status.trainings.items() if name in shown}
    for name, search in status.searches.items():
        # Workers share what is left of their search.
        shown |= {job: search.left for job in shown if job.startswith(f"tune_model/{name}/")}
    now, later = list(shown.values()), _waiting_trainings(status) if stage == "train" else []
    later += [None] * (left - len(later))
    known = [seconds for seconds in [*now, *later] if seconds is not None]
    longest = max((seconds for seconds in now if seconds is not None), default=0.0)
    if not known:
        return None, False
    return max(sum(known) / len(running), longest), len(known) < len(now) + len(later)


def stage_rows(status: Status) -> dict[str, Row]:
    """The stages of which a job is known, in their order."""
    workflow, rows = status.workflow, {}
    planned: Counter[str] = Counter()
    for rule, count in (workflow.plan.planned if workflow else {}).items():
        if "_" in rule:  # the others only name what is wanted
            planned[stage_of(rule)] += count
    for stage in STAGES:
        jobs = [job for job in status.jobs if stage_of(job.rule) == stage]
        since = workflow.started if workflow else 0.0
        done = sum(job.state == "done" and (job.finished or 0) >= since for job in jobs)
        earlier = sum(job.state == "done" for job in jobs) - done if workflow else None
        running = [job for job in jobs if job.state == "running"]
        failed, silent = (sum(job.state == state for job in jobs) for state in ("failed", "silent"))
        left = max(planned[stage] - done - len(running) - failed - silent, 0) if workflow else None
        if jobs or planned[stage]:
            rows[stage] = Row(
                earlier, done, len(running), failed, silent, left, *_expected(status, stage, running, left)
            )
    return rows


def _span(seconds: float | None) -> str:
    """So long, in at most six characters."""
    if seconds is None:
        return UNKNOWN
    minutes = round(seconds / 60)
    if seconds < 99.5:
        return f"{seconds:.0f}s"
    if minutes < 100:
        return f"{minutes}m"
    if minutes < 48 * 60:
        return f"{minutes // 60}h{minutes % 60:02}m"
    return f"{minutes // 1440}d{minutes % 1440 // 60:02}h"


def _clock(time: float, now: float) -> str:
    moment = datetime.fromtimestamp(time)
    return f"{moment:%H:%M}" if moment.date() == datetime.fromtimestamp(now).date() else f"{moment:%d %b %H:%M}"


def _cut(text: str, width: int) -> str:
    """A text as a terminal may show it, in so many characters."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return shown if len(shown) <= width else shown[: max(width - 3, 0)] + "..."[:width]


def _cut_middle(text: str, width: int) -> str:
    """As :func:`_cut`, but the end of a name tells it from others too."""
    keep = width - 3
    return (
        _cut(text, width) if len(text) <= width or keep < 2 else text[: keep // 2] + "..." + text[-(keep - keep // 2) :]
    )


def _aligned(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Columns: the first to the left and as short as the width demands, the others to the right."""
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first = min(wide[0], max(width - sum(wide[1:]) - 2 * len(wide[1:]), 8))
    return [
        _cut(
            "  ".join(
                [
                    _cut_middle(row[0], first).ljust(first),
                    *(f"{cell:>{w}}" for cell, w in zip(row[1:], wide[1:], strict=True)),
                ]
            ),
            width,
        )
        for row in rows
    ]


def _headline(status: Status) -> str:
    workflow, now = status.workflow, status.now
    last = max([job.written for job in status.jobs] + ([workflow.written] if workflow else []), default=None)
    if workflow is None:
        any_running = any(job.state == "running" for job in status.jobs)
        said = "jobs run" if any_running else f"last sign of life {_clock(last, now)}" if last else "nothing has run"
        return f"{said}; no log of Snakemake is known to be of this study"
    steps = f"{workflow.plan.done} of {workflow.plan.steps} steps done"
    started = _clock(workflow.started, now)
    if workflow.plan.ended:
        whole = workflow.plan.done == workflow.plan.steps
        return f"{'finished' if whole else 'ended unfinished'} {_clock(workflow.written, now)}, {steps}"
    if workflow.held:
        return f"runs since {started} ({_span(now - workflow.started)}), {steps}"
    if workflow.locked and last is not None and now - last < QUIET:
        return f"runs since {started}, not seen on this machine, {steps}"
    return f"no sign of life since {_clock(last or workflow.written, now)}, {steps}"


def _stage_lines(status: Status, width: int) -> list[str]:
    def shown(value: int | None) -> str:
        return UNKNOWN if value is None else str(value)

    head = ("stage", "earlier", "done", "running", "failed", "silent", "left", "time left")
    rows = [
        (stage, *map(shown, row[:6]), f"{'> ' if row.at_least else ''}{_span(row.seconds)}")
        for stage, row in stage_rows(status).items()
    ]
    return _aligned([head, *rows], width) if rows else []


def _of(part: int | None, whole: int | None) -> str:
    return UNKNOWN if part is None else f"{part}/{whole}"


def _value(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.4f}"


def _said(jobs: Iterable[Job], now: float) -> str:
    return _span(max(now - max(job.written for job in jobs), 0.0))


def _training_lines(status: Status, width: int) -> list[str]:
    rows = [("training", "epoch", "step", "best acc", "best loss", "time left", "said")]
    for job in status.jobs:
        found = status.trainings.get(f"{job.rule}/{job.name}")
        if found:
            step = _of(found.step, found.steps)
            numbers = (_value(found.accuracy), _value(found.loss), _span(found.left), _said([job], status.now))
            rows.append((job.name, _of(found.epoch, found.epochs), step, *numbers))
    return _aligned(rows, width) if len(rows) > 1 else []


def _search_lines(status: Status, width: int) -> list[str]:
    rows = [("search", "trials", "pruned", "failed", "best", "epoch", "time left", "said")]
    for name, found in status.searches.items():
        workers = [job for job in status.jobs if job.rule == "tune_model" and job.name.rpartition("/")[0] == name]
        said = _said((job for job in workers if job.state == "running"), status.now)
        counts = (_of(found.done, found.trials), str(found.pruned), str(found.failed), found.best or UNKNOWN)
        rows.append((name, *counts, _of(found.epoch, found.epochs), _span(found.left), said))
    return _aligned(rows, width) if len(rows) > 1 else []


def _last_line(job: Job) -> str:
    said = [match[2] for match in _matches(_LINE, job.text)]
    return said[-1] if said else "has said nothing"


def _full_name(job: Job) -> str:
    return f"{job.rule} {job.name}".strip()


def _other_lines(status: Status, width: int) -> list[str]:
    """The jobs that run and are in no table, with what they said last."""
    shown = [
        job
        for job in status.jobs
        if job.state == "running"
        and f"{job.rule}/{job.name}" not in status.trainings
        and not (job.rule == "tune_model" and job.name.rpartition("/")[0] in status.searches)
    ]
    return [_cut(f"running  {_full_name(job)}: {_last_line(job)}", width) for job in shown]


def _trouble_lines(status: Status, width: int, shown: Callable[[Path], str]) -> list[str]:
    what = {"failed": "failed", "silent": "no sign of life since"}
    lines = []
    for state, words in what.items():
        for job in (job for job in status.jobs if job.state == state):
            when = _clock(job.written, status.now)
            lines.append(_cut(f"{words} {when}  {_full_name(job)}: {_last_line(job)}", width))
            lines.append(_cut("  " + _cut_middle(shown(job.log), width - 2), width))
    return lines


def status_lines(status: Status, width: int, shown: Callable[[Path], str] = str) -> list[str]:
    """What is known of a study, in lines of at most ``width`` characters; ``shown`` is how the path of a log is written."""
    parts = [
        _stage_lines(status, width),
        _training_lines(status, width),
        _search_lines(status, width),
        _other_lines(status, width),
        _trouble_lines(status, width, shown),
    ]
    lines = [_cut(f"{status.name}: {_headline(status)}", width)]
    for part in filter(None, parts):
        lines += ["", *part]
    return lines
