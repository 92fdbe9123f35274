"""Timeline of an episode: upload and execution of each task, as data and as a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from morl.envs.mec.environment import MecOffloading
from morl.envs.mec.params import Params
from morl.envs.mec.schemes import Revealed, Scheme

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Timeline:
    """Timeline of the M placed tasks of an episode, simulated until the last is done.

    Attributes:
        frequencies: (E + 1,) GHz, the cloud first.
        step_seconds: seconds between decisions.
        server: (M,) int server of each task.
        size: (M,) Mbit.
        placed, joined, finished: (M,) seconds at which the task was sent, arrived, and was done.
        energy: (M,) J.
    """

    frequencies: Floats
    step_seconds: float
    server: NDArray[np.int64]
    size: Floats
    placed: Floats
    joined: Floats
    finished: Floats
    energy: Floats

    @property
    def delay(self) -> Floats:
        """Seconds (M,) from sent to done."""
        return self.finished - self.placed


def record(
    env: MecOffloading,
    scheme: Scheme,
    policy: Any = 0.0,
    preference: Any = (0.5, 0.5),
    *,
    params: Params | None = None,
    seed: int = 0,
) -> Timeline:
    """Record one episode of a policy (see :mod:`morl.envs.mec.schemes`).

    >>> from morl.envs.mec.schemes import Greedy
    >>> timeline = record(MecOffloading(num_edges=2, steps=5), Greedy(), preference=[1.0, 0.0])
    >>> bool((timeline.delay > 0).all())
    True
    """
    revealed = Revealed(replace(env, capacity=None))  # room for any choice
    params = env.default_params if params is None else params
    weights = jax.numpy.asarray(preference, jax.numpy.float32)
    key_reset, key_steps = jax.random.split(jax.random.key(seed))

    @jax.jit
    def episode() -> Any:
        def body(carry: Any, key: jax.Array) -> Any:
            state, obs = carry
            key_act, key_step = jax.random.split(key)
            action = scheme.act(policy, obs[None], weights, key_act, greedy=True)[0]
            rate = state.rate[action]
            following, obs, reward, _, _, _ = revealed.step(key_step, state, action, params)
            return (following, obs), (state.step, action, state.size, rate, reward[1])

        start = revealed.reset(key_reset, params)
        return start[0].frequency, jax.lax.scan(body, start, jax.random.split(key_steps, env.steps))[1]

    frequencies, rows = jax.tree.map(lambda x: np.asarray(x, np.float64), episode())
    step, action, size, rate, energy = (column[rows[2] > 0] for column in rows)
    seconds = float(params.step_seconds)
    frequencies = frequencies[frequencies > 0]
    server, placed = action.astype(np.int64), step * seconds
    joined = placed + size / rate
    finished = np.zeros(len(size))
    for e, frequency in enumerate(frequencies):
        here = server == e
        finished[here] = _shared(joined[here], size[here], frequency * 1e3 / float(params.cycles_per_bit))
    return Timeline(frequencies, seconds, server, size, placed, joined, finished, -energy)


def _shared(joined: Floats, size: Floats, speed: float) -> Floats:
    """Return the seconds at which tasks of ``size`` Mbit are done that share a server of ``speed`` Mbit/s equally."""
    left, finished, now = size.copy(), np.full(len(size), np.inf), 0.0
    while (left > 0).any():
        running = (joined <= now) & (left > 0)
        pace = speed / max(running.sum(), 1)
        end = now + left[running].min() / pace if running.any() else np.inf
        join = joined[joined > now].min(initial=np.inf)
        event = min(end, join)
        left[running] -= (event - now) * pace
        ended = running & (left <= 1e-9)
        left[ended], finished[ended], now = 0.0, event, event
    return finished


def plot(timeline: Timeline, path: str | Path) -> Path:
    """Write the timeline as a picture (.png, .svg or .pdf), with a band for each server and a bar for each task.

    The thin part of a bar is the upload. Tasks that run at one time are stacked, so that the height of a band is the
    load of its server.
    """
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib import pyplot as plt

    servers = len(timeline.frequencies)
    rows = [_rows(timeline.placed[mine], timeline.finished[mine]) for mine in _by_server(timeline)]
    heights = [max(2, 1 + max(row, default=0)) for row in rows]
    figure, axes = plt.subplots(figsize=(10, 0.8 + 0.16 * sum(heights) + 0.1 * servers), layout="constrained")
    colours, bottom, ticks = plt.get_cmap("tab20").colors, 0.0, []  # type: ignore[attr-defined]
    for e, mine in enumerate(_by_server(timeline)):
        axes.axhspan(bottom, bottom + heights[e], color="#eef2f7" if e % 2 == 0 else "white", linewidth=0)
        for i, row in zip(np.flatnonzero(mine), rows[e], strict=True):
            y, colour = bottom + row, colours[i % len(colours)]
            placed, joined, finished = timeline.placed[i], timeline.joined[i], timeline.finished[i]
            axes.barh(y + 0.5, joined - placed, left=placed, height=0.25, color=colour)
            axes.barh(y + 0.5, finished - joined, left=joined, height=0.85, color=colour)
        ticks.append(bottom + heights[e] / 2)
        bottom += heights[e]
    names = [f"{'cloud' if e == 0 else f'edge {e}'}\n{f:.2f} GHz" for e, f in enumerate(timeline.frequencies)]
    axes.set_yticks(ticks, names, fontsize=8)
    axes.set(xlabel="s", ylim=(bottom, 0), xlim=(0, None))
    total = f"{timeline.delay.sum():.0f} s, {timeline.energy.sum():.2f} J"
    axes.set_title(f"{len(timeline.size)} tasks: {total} in all (thin: upload)", fontsize=10)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return Path(path)


def _by_server(timeline: Timeline) -> list[NDArray[np.bool_]]:
    return [timeline.server == e for e in range(len(timeline.frequencies))]


def _rows(start: Floats, end: Floats) -> list[int]:
    """Return the lowest free row for each bar, in the order of their starts."""
    free: list[float] = []
    rows = []
    for begins, ends in zip(start, end, strict=True):
        row = next((i for i, until in enumerate(free) if until <= begins), len(free))
        free[row : row + 1] = [ends]
        rows.append(row)
    return rows
