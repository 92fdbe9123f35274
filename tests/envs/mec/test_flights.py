"""Delay that a task adds to a server with uploads under way, beside a simulation from event to event."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.envs.mec import flights, sharing
from tests.envs.mec import fuzz

STEPS = 70


def added(left: fuzz.Floats, joined: fuzz.Floats, size: fuzz.Floats, speed: float) -> float:
    """Return what the last of the uploads adds in seconds, of tasks that run with ``left`` and uploads ``joined``."""
    joins, sizes = np.append(np.zeros(len(left)), joined), np.append(left, size)
    without = fuzz.finish_times(joins[:-1], sizes[:-1], speed).sum()
    return float(fuzz.finish_times(joins, sizes, speed).sum() - without)


def system(left: fuzz.Floats, joined: fuzz.Floats, size: fuzz.Floats, speed: float) -> tuple[flights.Upload, object]:
    """Return the last upload, and the others as uploads under way at step 0 to the second of two servers."""
    room = np.zeros((1, STEPS), np.float32)
    room[0, STEPS - len(left) :] = np.sort(left)
    row = sharing.Servers(jnp.asarray(room), jnp.zeros(1), jnp.array([len(left)], jnp.int32))
    under_way = flights.none(STEPS, 2)
    order, ours = np.argsort(joined[:-1], kind="stable"), np.arange(STEPS) < len(joined) - 1
    ends, sizes = (np.zeros(STEPS, np.float32) for _ in range(2))
    ends[ours], sizes[ours] = joined[:-1][order], size[:-1][order]
    under_way = under_way._replace(
        step=jnp.asarray(np.where(ours, ends.astype(np.int32), flights.LANDED), jnp.int32),
        offset=jnp.asarray(ends % 1.0),
        server=jnp.asarray(np.where(ours, 1, 2), jnp.int32),
        size=jnp.asarray(sizes),
        number=jnp.array([0, len(joined) - 1], jnp.int32),
    )
    numbers = (jnp.float32(x) for x in (speed, joined[-1], size[-1]))
    return flights.Upload(jnp.int32(1), row, *numbers), under_way


def test_the_delay_that_a_task_adds_is_that_of_the_plain_simulator() -> None:
    rng = np.random.default_rng(0)
    counts = [(1, 0), (1, 5), (3, 2), (8, 8), (9, 1), (2, 12), (20, 10), (32, 16), (33, 0), (5, 30), (60, 40), (69, 69)]
    drawn = []
    for uploads, running in counts:
        sizes = rng.exponential(16.0, uploads + 1)
        drawn.append((rng.exponential(16.0, running), np.sort(rng.uniform(0.0, 60.0, uploads + 1)), sizes))
    # of the uploads, the last one is the task; any of them may end first
    cases = [(left, rng.permutation(joined), size, speed) for left, joined, size in drawn for speed in (0.3, 4.0)]
    # ties: uploads that end together, a task that ends as another joins, a server that falls idle, nothing running
    cases += [
        (np.array([4.0]), np.array([2.0, 2.0, 2.0]), np.array([4.0, 1.0, 2.0]), 2.0),
        (np.array([2.0, 2.0]), np.array([0.5, 40.0, 1.0]), np.array([4.0, 1.0, 2.0]), 2.0),
        (np.zeros(0), np.array([5.0, 0.0]), np.array([8.0, 8.0]), 2.0),
    ]
    made = jax.tree.map(lambda *x: jnp.stack(x), *[system(*case) for case in cases])
    number = len(cases)
    found = flights._marginal_delay(jnp.zeros(number), *made, jnp.zeros(number, jnp.int32), jnp.ones(number))
    np.testing.assert_allclose(found, [added(*case) for case in cases], rtol=3e-5)


@pytest.mark.parametrize("empty", ["no other upload", "no task"])
def test_the_delay_without_other_uploads_or_a_task_is_the_one_given(empty: str) -> None:
    uploads = 0 if empty == "no other upload" else 3
    upload, under_way = system(np.ones(2), np.arange(uploads + 1.0), np.ones(uploads + 1), 1.0)
    upload = upload._replace(size=jnp.float32(uploads == 0))
    now, step_s = jnp.int32(0), jnp.float32(1.0)
    assert flights.marginal_delay(jnp.float32(7.0), upload, under_way, now, step_s) == 7.0
