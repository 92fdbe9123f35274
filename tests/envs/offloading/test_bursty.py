"""Bursty arrivals: the distribution of the times, and steps that are those of the plain simulator."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.envs.offloading.bursty import Bursts, MecBursty, burst_times
from morl.errors import UserError
from tests.envs.offloading.episodes import check, compiled

ENV = MecBursty(tasks=25)


@pytest.mark.parametrize("seed", range(4))
def test_random_actions(seed: int) -> None:
    check(ENV, seed)


def test_the_gap_before_is_seen() -> None:
    reset, step = compiled(ENV)
    state, obs = reset(jax.random.key(0), ENV.default_params)
    assert float(obs[0, 10]) == 0.0
    gap = float(state.tasks.gap[0])
    _, obs, *_ = step(jax.random.key(0), state, np.int32(0), ENV.default_params)
    assert float(obs[0, 10]) == pytest.approx(gap)


def test_arrivals_are_those_of_a_process_simulated_event_by_event() -> None:
    """Compare the mean, and the variance of counts in windows, with a simulation by competing exponentials."""
    rate, factor, calm, burst = 1.0, 8.0, 15.0, 3.0
    bursts = Bursts(jnp.float32(factor), jnp.asarray([calm, burst], jnp.float32))
    draw = jax.jit(jax.vmap(lambda key: burst_times(key, 400, 400, jnp.float32(rate), bursts)))
    ours = np.asarray(draw(jax.random.split(jax.random.key(0), 800)))
    assert (np.diff(ours, axis=1) >= 0).all()
    rng = np.random.default_rng(0)
    calm_rate = rate * (calm + burst) / (calm + factor * burst)
    theirs = []
    for _ in range(800):
        now, on, count = 0.0, rng.random() < burst / (calm + burst), 0
        while now < 20.0:
            arrivals, switches = (factor * calm_rate, 1 / burst) if on else (calm_rate, 1 / calm)
            now += rng.exponential(1 / (arrivals + switches))
            if now < 20.0 and rng.random() < arrivals / (arrivals + switches):
                count += 1
            elif now < 20.0:
                on = not on
        theirs.append(count)
    counts = (ours < 20.0).sum(axis=1)
    error = np.sqrt(counts.var() / 800 + np.var(theirs) / 800)
    assert abs(counts.mean() - np.mean(theirs)) < 4 * error
    assert abs(counts.mean() - 20.0) < 4 * error
    assert counts.var() / np.var(theirs) == pytest.approx(1.0, abs=0.25)
    assert counts.var() > 40.0  # a Poisson process has 20


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"burst_factor": 0.5}, "burst_factor must be at least 1"),
        ({"calm_seconds": 0.0}, "calm_seconds must be greater than 0"),
        ({"burst_seconds": -3.0}, "burst_seconds must be greater than 0"),
    ],
)
def test_impossible_settings_are_refused_by_name(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MecBursty(**kwargs)
