"""Steps a second of each JAX-native environment beside MO-Gymnasium's, in one run on one machine.

    python benchmarks/environments.py                # all
    python benchmarks/environments.py minecart-v0    # some
    python benchmarks/environments.py mo-hopper-v5   # on MJX, in smaller numbers: it is meant for an accelerator

Random actions, episodes that start over and all: ours in one compiled scan of the core's own time limit and auto-reset
(`morl.training.rollout`), for a batch of 1, 64 and 4096; MO-Gymnasium's environment by itself, and 64 in its
`MOSyncVectorEnv`, the fastest way it has that works with Gymnasium 1.4. Actions are drawn beforehand for MO-Gymnasium,
within the time measured for ours. Each number is the median of five.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import mo_gymnasium
import numpy as np
from gymnasium import spaces
from mo_gymnasium.wrappers.vector import MOSyncVectorEnv

import morl
from morl.registry import env_specs
from morl.training.rollout import start_batch, step

BATCHES = (1, 64, 4096)
PEER_BATCH = 64
STEPS, MJX_STEPS = 262_144, 512  # of one call
SECONDS = 0.5  # of each repetition, about


def rate(run: Callable[[], int]) -> float:
    """Steps a second, median of five, of ``run``, which says how many it took."""
    rates = []
    for _ in range(5):
        started = time.perf_counter()
        taken, repeats = 0, 0
        while repeats == 0 or time.perf_counter() - started < SECONDS:
            taken += run()
            repeats += 1
        rates.append(taken / (time.perf_counter() - started))
    return statistics.median(rates)


def random_actions(space: Any, key: jax.Array, num: int) -> jax.Array:
    if isinstance(space, spaces.Discrete):
        return jax.random.randint(key, (num,), 0, int(space.n))
    return jax.random.uniform(key, (num, *space.shape), minval=space.low, maxval=np.minimum(space.high, 100))


def ours(id: str, batch: int, length: int | None = None) -> tuple[float, float]:
    """Steps a second, and seconds to compile; of so many steps a call, by default what suits a CPU."""
    env: Any = morl.make(id, "jax")
    params = env.default_params
    total = MJX_STEPS if env_specs()[id].prefer_host else STEPS if batch > 1 else STEPS // 16
    length = length or max(8, total // batch)

    @jax.jit
    def run(lanes: Any, key: jax.Array) -> Any:
        def one(lanes: Any, key: jax.Array) -> Any:
            key_action, key_step = jax.random.split(key)
            actions = random_actions(env.action_space, key_action, batch)
            lanes, out = jax.vmap(partial(step, env, params))(jax.random.split(key_step, batch), lanes, actions)
            return lanes, (out.reward.sum(axis=0), out.next_obs.sum(axis=0), out.terminated.sum())

        return jax.lax.scan(one, lanes, jax.random.split(key, length))

    lanes = start_batch(env, params, jax.random.key(0), batch)
    keys = iter(jax.random.split(jax.random.key(1), 10_000))
    started = time.perf_counter()
    compiled = run.lower(lanes, next(keys)).compile()
    compiling = time.perf_counter() - started

    def go() -> int:
        nonlocal lanes
        lanes, sums = compiled(lanes, next(keys))
        jax.block_until_ready(sums)
        return batch * length

    go()
    return rate(go), compiling


def single(id: str) -> float:
    """Steps a second of one environment of MO-Gymnasium's."""
    env = mo_gymnasium.make(id, disable_env_checker=True)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    actions = draw(env.action_space, rng, 2000)

    def go() -> int:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return len(actions)

    return rate(go)


def vector(id: str) -> float | None:
    """Steps a second of 64 in MO-Gymnasium's vectoriser; ``None`` where it fails."""
    try:
        envs = MOSyncVectorEnv([partial(mo_gymnasium.make, id, disable_env_checker=True)] * PEER_BATCH)
        envs.reset(seed=0)
        rng = np.random.default_rng(0)
        actions = [draw(envs.single_action_space, rng, PEER_BATCH) for _ in range(50)]

        def go() -> int:
            for action in actions:
                envs.step(action)
            return PEER_BATCH * len(actions)

        return rate(go)
    except (ValueError, TypeError, KeyError, AssertionError) as error:
        print(f"# {id}: MOSyncVectorEnv fails: {type(error).__name__}: {str(error).splitlines()[0]}")
        return None


def draw(space: Any, rng: np.random.Generator, num: int) -> np.ndarray[Any, Any]:
    if isinstance(space, spaces.Discrete):
        return rng.integers(space.n, size=num)
    return rng.uniform(space.low, np.minimum(space.high, 100), (num, *space.shape)).astype(np.float32)


def main() -> None:
    warnings.simplefilter("ignore")  # of the precision of MO-Gymnasium's spaces
    specs = {id: spec for id, spec in env_specs().items() if spec.entry_point}
    ids = sys.argv[1:] or [id for id, spec in specs.items() if not spec.prefer_host]
    if unknown := set(ids) - set(specs):
        sys.exit(f"unknown environment {min(unknown)}; allowed: {', '.join(specs)}")
    print(f"{os.cpu_count()} cores, JAX {jax.__version__} on {jax.devices()[0].device_kind}")
    print("| environment | MO-Gymnasium | 64 in MOSyncVectorEnv | 1 | 64 | 4096 | the last is | compiled in, s |")
    print("|---|---|---|---|---|---|---|---|")
    for id in ids:
        theirs, theirs_batched = single(id), vector(id)
        batches = BATCHES[:2] if specs[id].prefer_host else BATCHES
        rates, compiling = zip(*(ours(id, batch) for batch in batches), strict=True)
        columns = [theirs, theirs_batched, *rates, *[None] * (len(BATCHES) - len(batches))]
        numbers = " | ".join("-" if x is None else f"{x:,.0f}" for x in columns)
        best = max(theirs, theirs_batched or 0.0)
        print(f"| {id} | {numbers} | {rates[-1] / best:.3g} times | {max(compiling):.1f} |", flush=True)


if __name__ == "__main__":
    main()
