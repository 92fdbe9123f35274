"""Random systems and policies against the plain simulator; ``benchmarks/mec.py fuzz`` runs many more."""

from __future__ import annotations

import numpy as np
import pytest

from tests.envs.mec import fuzz
from tests.envs.mec.reference import System


@pytest.mark.parametrize(
    "shape", ["physical, interference", pytest.param("high_rate, three users", marks=pytest.mark.slow)]
)
def test_no_policy_loses_a_task_and_every_delay_is_exact(shape: str) -> None:
    number = 100 if "three users" in shape else 40  # few users send few tasks
    for name, found in fuzz.fuzz(fuzz.SHAPES[shape], number, seed=1, batch=number).items():
        assert found.systems == number // 5, name
        assert found.tasks > 100, name
        assert found.lost == 0, name
        assert found.total < 1e-4, name
        assert found.step < 1e-3, name
        assert found.energy < 1e-5, name


def test_the_two_plain_simulators_agree() -> None:
    rng = np.random.default_rng(0)
    size, placed = rng.exponential(3.0, 40), np.arange(40.0)
    rate, server = rng.uniform(0.2, 5.0, 40), rng.integers(0, 2, 40)
    system = System([2.0, 1.5])
    rewards = []
    for i in range(40):
        system.advance(placed[i])
        rewards.append(system.place(int(server[i]), size[i], rate[i])[0])
    expected = fuzz.expected_delays(server, placed, placed + size / rate, size, np.array([2.0, 1.5]))
    np.testing.assert_allclose(expected, -np.array(rewards), rtol=1e-7)
    assert expected.sum() == pytest.approx(sum(system.delays()))


def test_a_lost_task_would_be_found() -> None:
    """Compare a server of two rows with the plain simulator, which is to see that a delay is missing."""
    env = fuzz.MecOffloading(arrival_rate=1.0, capacity=2, steps=20)
    found = fuzz.fuzz(env, 20, seed=0, batch=20)["all to one"]
    assert found.lost > 10
    assert found.total > 1e-2
