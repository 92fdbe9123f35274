"""Calls of ``benchmarks/cmorl_peers.py`` to the peers' scripts, and what it reads from them, without running them."""

import importlib
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from morl.yardsticks.fronts import KnownFront

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.syspath_prepend(BENCHMARKS / "peers")
    return importlib.import_module("cmorl_peers"), importlib.import_module("run_peer")


def ours(cmorl_peers, gamma, reference_point, known=None):
    return cmorl_peers.Result(40.0, 6, 1.0, 1.0, 1.0, 1.0, gamma, reference_point, {}, [], known, [])


@pytest.mark.parametrize("name", ["gpi-ls", "envelope", "capql", "gpi-ls-continuous"])
def test_a_peer_is_asked_for_the_task_of_the_case(scripts, name):
    cmorl_peers, run_peer = scripts
    for case in cmorl_peers.EVALUATED:
        command = cmorl_peers.peer_command(name, case, ours(cmorl_peers, 0.98, [-1.0, -200.0]), 12.5, 3)
        out = ["--out", "/dev/null"]
        _, asked = run_peer.parse_arguments([*command[1:], *out])
        assert (asked.peer, asked.seconds, asked.clock, asked.threads, asked.seed) == (name, 12.5, "core", 1, 3)
        assert (asked.gamma, asked.reference_point) == (0.98, [-1.0, -200.0])
        assert asked.env == cmorl_peers.CASES[case].split()[0]
        assert asked.max_episode_steps == (500 if "max_episode_steps 500" in cmorl_peers.CASES[case] else None)
        assert asked.eval_every > asked.seconds  # once, at the end


def test_a_peers_row(scripts):
    cmorl_peers, _ = scripts
    runs = cmorl_peers.Runs()
    last = {"hypervolume": 2.0, "seconds": 10.0, "steps": 400}
    first = {"history": [{"hypervolume": 1.0, "seconds": 9.0, "steps": 1}, last]}
    other = {"hypervolume": 9.0, "hypervolume_greedy": 6.0, "seconds": 30.0, "steps": 1200}
    for result in (first, other):
        hypervolume, seconds, steps = cmorl_peers.reached(result)
        runs.add(hypervolume / 8, hypervolume / 10, seconds, steps)
    row = "| case | peer | 0.500 (0.250 to 0.750) | 0.400 (0.200 to 0.600) | 20 | 800 | 40 | 3.5 h |"
    assert runs.row("case", "peer", 500_000) == row
    runs.fault = "ValueError: no"
    assert runs.row("case", "peer", 500_000) == "| case | peer | fails: `ValueError: no` | | | | | |"


def test_a_peer_is_held_to_the_tight_reference_point(scripts):
    cmorl_peers, _ = scripts
    known = KnownFront(np.array([[0.0, 1.0], [1.0, 0.0]]), "true")
    assert cmorl_peers.tight_share(ours(cmorl_peers, 1, [-9, -9], known), known.points) == pytest.approx(1)
    half = cmorl_peers.tight_share(ours(cmorl_peers, 1, [-9, -9], known), known.points[:1])
    assert half == pytest.approx(0.11 / 0.21)
    assert math.isnan(cmorl_peers.tight_share(ours(cmorl_peers, 1, [-9, -9]), known.points))


@pytest.mark.parametrize(
    ("program", "fault"),
    [("raise ValueError('no')", "ValueError: no"), ("import os; os.kill(os.getpid(), 9)", "ended by SIGKILL")],
)
def test_a_peer_without_a_result_says_why(scripts, program, fault):
    cmorl_peers, _ = scripts
    assert cmorl_peers.run_peer(sys.executable, ["-c", program]) == fault
