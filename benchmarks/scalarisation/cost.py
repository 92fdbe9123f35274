"""Wall-clock of an update of PPO with each aggregator beside the linear one, in turns."""

from __future__ import annotations

import statistics
import time
from typing import Any, get_args

import numpy as np

UPDATES, ROUNDS = 12, 5


def trained(env_id: str, aggregator: str, policies: int) -> Any:
    """Return a function that runs updates of all policies and returns the seconds they took, compiled already."""
    import jax

    from morl.agents.ppo.config import PPOAgentConfig
    from morl.settings import TrainSettings
    from morl.training.setup import prepare

    config = PPOAgentConfig(num_policies=policies, aggregator=aggregator)
    setup = prepare("ppo", TrainSettings(env=env_id), config)
    backend = setup.make_backend(setup.agent.preferences, eval_episodes=1, devices=jax.devices())
    held = [backend.init(list(jax.random.split(jax.random.key(0), policies)))]

    def run(updates: int) -> float:
        started = time.perf_counter()
        held[0], sums = backend.run(held[0], updates)
        jax.block_until_ready(sums)
        return time.perf_counter() - started

    run(1)
    return run


def measure(names: list[str], env_id: str = "minecart-v0", policies: int = 6) -> dict[str, Any]:
    """Return the cost of each aggregator: the median over rounds of its seconds over those of linear beside it."""
    from morl.agents.ppo.config import Aggregator

    for name in names:
        if name not in get_args(Aggregator):
            raise SystemExit(f"unknown aggregator {name!r}; known: {', '.join(get_args(Aggregator))}")
    linear, found = trained(env_id, "linear", policies), {}
    for name in names:
        run, pairs = trained(env_id, name, policies), []
        for _ in range(ROUNDS):  # in turns, so that both meet the same load
            before, with_it, after = linear(UPDATES), run(UPDATES), linear(UPDATES)
            pairs.append((with_it, (before + after) / 2))
        ratios = [one / other for one, other in pairs]
        found[name] = {
            "ratio": statistics.median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
            "ms_an_update": 1000 * float(np.median([one for one, _ in pairs])) / UPDATES,
        }
        print(f"{name}: {found[name]['ratio']:.2f} ({min(ratios):.2f} to {max(ratios):.2f}) of linear", flush=True)
    return found
