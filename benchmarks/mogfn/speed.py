"""Speed of the unconditional part of MOGFN beside gfnx and torchgfn; `benchmarks/mogfn speed` calls it.

The grid, reward, batch and network are those of gfnx's `baselines/tb_hypergrid.py`: four axes of 20 cells, 16
trajectories, an MLP of 2 x 256 on one-hot cells, trajectory balance, P_B uniform. Here the one preference is (1), which
is all that is conditioned on. Each is trained from the start, as many updates as the others (walks get longer as
training goes on), in rounds that take turns; the median of each one's rounds counts. Compilation is not in the figures.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from morl.agents.mogfn import MOGFN, MOGFNConfig
from morl.constructive.backend import SamplerBackend
from morl.envs.base import Objective


class State(NamedTuple):
    """Cell (D,) int32, and whether the walk has stopped, () bool."""

    position: jax.Array
    done: jax.Array


@dataclass(frozen=True)
class PeersGrid:
    """The hypergrid of Malkin et al. (2022) with the reward of Madan et al. (2023), as gfnx has it: stop anywhere."""

    dim: int = 4
    side: int = 20

    id = "peers-grid"
    objectives = (Objective("reward"),)
    default_params: tuple[()] = ()

    @property
    def horizon(self) -> int:
        return self.dim * (self.side - 1) + 1

    @cached_property
    def observation_space(self) -> spaces.Box:
        return spaces.Box(0, self.side - 1, (self.dim,), np.int32)

    @cached_property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(self.dim + 1)

    def action_mask(self, obs: Any) -> Any:
        inside = obs < self.side - 1
        return jnp.concatenate([inside, jnp.ones_like(inside[..., :1])], axis=-1).astype(jnp.int8)

    def reset(self, key: jax.Array, params: tuple[()]) -> tuple[State, jax.Array]:
        state = State(jnp.zeros(self.dim, jnp.int32), jnp.bool_(False))
        return state, state.position

    def step(self, key: jax.Array, state: State, action: jax.Array, params: tuple[()]) -> tuple[Any, ...]:
        position = state.position + ((jnp.arange(self.dim) == action) & ~state.done)
        done = state.done | (action == self.dim)
        reward = jnp.where(done & ~state.done, self.reward(position), 0.0)
        return State(position, done), position, reward[None], done, jnp.bool_(False), {}

    def reward(self, position: jax.Array) -> jax.Array:
        away = jnp.abs(position / (self.side - 1) - 0.5)
        return 1e-3 + 0.5 * jnp.all(away > 0.25) + 2.0 * jnp.all((away > 0.3) & (away < 0.4))

    def backward_mask(self, state: State) -> jax.Array:
        return jnp.append((state.position > 0) & ~state.done, state.done).astype(jnp.int8)

    def backward_step(self, state: State, backward_action: jax.Array, params: tuple[()]) -> tuple[Any, ...]:
        position = state.position - ((jnp.arange(self.dim) == backward_action) & ~state.done)
        return State(position, jnp.bool_(False)), position, backward_action


class Ours:
    """MOGFN's training loop."""

    def __init__(self, updates: int) -> None:
        config = MOGFNConfig(
            batch=16, hidden=(256, 256), learning_rate=1e-3, log_z_learning_rate=0.1, anneal=False, epsilon=0.0
        )
        self.updates = updates
        agent = MOGFN(config, PeersGrid(), updates)  # type: ignore[arg-type]
        self.backend = SamplerBackend(agent, 1, block=1, gamma=1.0)
        self.state, _ = self.backend.run(self.backend.init([jax.random.key(0)]), 0)  # compiles

    def rate(self) -> tuple[float, float]:
        """Return the updates a second of one round, and the mean loss of its last quarter."""
        last = -(-self.updates // 4)
        started = time.perf_counter()
        self.state, _ = self.backend.run(self.state, self.updates - last)
        self.state, sums = self.backend.run(self.state, last)
        seconds = time.perf_counter() - started
        return self.updates / seconds, float(sums.metrics["loss"][0]) / last


class Peer:
    """A peer's process, which goes on when it is told to."""

    def __init__(self, python: str, script: str, flags: str) -> None:
        path = Path(__file__).parent / "peers" / script
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [python, str(path), *flags.split()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._answer()  # it is ready

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        answer: dict[str, float] = json.loads(self._process.stdout.readline())
        return answer

    def rate(self) -> tuple[float, float]:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        answer = self._answer()
        return answer["rate"], answer["loss"]

    def close(self) -> None:
        self._process.communicate()


def speed(gfnx: str | None, torchgfn: str | None, rounds: int, updates: int) -> None:
    """A table of the rates of all that are given."""
    runners: dict[str, Ours | Peer] = {"morl": Ours(updates)}
    if gfnx:
        runners["gfnx 0.0.1"] = Peer(gfnx, "gfnx_hypergrid.py", f"--updates {updates}")
    if torchgfn:
        for threads in (1, 2):
            name = f"torchgfn, {threads} thread{'s'[: threads - 1]}"
            runners[name] = Peer(torchgfn, "torchgfn_hypergrid.py", f"--updates {updates} --threads {threads}")
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in runners}
    for _ in range(rounds):
        for name, runner in runners.items():
            found[name].append(runner.rate())
            print(f"{name}: {found[name][-1]}", flush=True)
    for runner in runners.values():
        if isinstance(runner, Peer):
            runner.close()
    ours = statistics.median(rate for rate, _ in found["morl"])
    print("\n| | updates/s | trajectories/s | loss at the end | ours is faster by |\n|---|---|---|---|---|")
    for name, rows in found.items():
        rate = statistics.median(rate for rate, _ in rows)
        print(f"| {name} | {rate:.1f} | {16 * rate:.0f} | {rows[-1][1]:.3f} | {ours / rate:.2f} |")
