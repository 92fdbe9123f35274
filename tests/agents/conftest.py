"""Tiny finished runs of the registered agents, which several files look at."""

import fcntl
import os

import pytest

import morl
from tests.agents.test_conformance import settings_of


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """Return a function from the name of an agent to its run by the settings of ``CASES``.

    The workers share the runs: the first one to ask trains, another reads its directory.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    begun = {}

    def run_of(name):
        if name not in begun:
            out = shared / f"run-{name}"
            with (shared / f"{name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                finished = (out / "front.csv").exists()
                settings, config = settings_of(name, out=out)
                begun[name] = morl.load(out) if finished else morl.train(name, settings, config)
        return begun[name]

    return run_of
