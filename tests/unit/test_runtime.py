import json
import os
import platform
from importlib.metadata import version

import numpy as np

from graft.runtime import Stopwatch


def test_a_report_says_what_a_job_cost_and_where_it_ran() -> None:
    report = Stopwatch().report()
    assert report["wall_seconds"] >= 0
    assert report["cpu_seconds"] > 0
    assert report["machine"]["cores"] == os.cpu_count()
    assert report["machine"]["python"] == platform.python_version()


def test_memory_is_in_mebibytes() -> None:
    block = np.ones(64 * 2**17)
    before = Stopwatch().report()["peak_memory_mib"]
    assert block.nbytes / 2**20 < before < 100_000


def test_versions_are_of_the_packages_that_are_installed() -> None:
    versions = Stopwatch().report()["versions"]
    assert versions["keras"] == version("keras")
    assert versions["numpy"] == np.__version__
    assert None not in versions.values()


def test_facts_are_added_and_all_of_it_is_plain() -> None:
    report = Stopwatch().report(epochs=3, device="cpu:0")
    assert (report["epochs"], report["device"]) == (3, "cpu:0")
    assert json.loads(json.dumps(report)) == report
