"""Pytest plugin: write what each test case takes to a file of its process; used by suites.py beside it.

    CASE_TIMES=FOLDER python -m pytest -p case_times

A line a case: its id, CPU seconds of the process and of the children it has waited for, seconds of wall time. Fixtures
count for the case that is the first to need them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: Any) -> Iterator[None]:
    """Measure one case, its fixtures included."""
    cpu, wall = _cpu_seconds(), time.perf_counter()
    yield
    line = json.dumps([item.nodeid, round(_cpu_seconds() - cpu, 4), round(time.perf_counter() - wall, 4)])
    with open(Path(os.environ["CASE_TIMES"]) / f"{os.getpid()}.jsonl", "a") as file:
        file.write(line + "\n")
