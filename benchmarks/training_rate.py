"""Training speed of policies in this process, for the benchmarks that need a number and no front."""

from __future__ import annotations

import time
from typing import Any


def training_rate(
    env: Any, agent: Any, preferences: Any, *, eval_episodes: int, gamma: float, steps: int
) -> dict[str, float]:
    """Return the seconds of the first call, which compiles, and steps/s of collecting and learning, median of five.

    Args:
        env: compiled with JAX.
        agent: whose learner trains, one for each of the ``preferences`` (P, R).
        eval_episodes, gamma: of the back-end; nothing is evaluated here.
        steps: about how many are timed at once, of all policies.
    """
    import jax

    from morl.training.backends.jax import JaxBackend

    backend = JaxBackend(env, agent.learner, preferences, eval_episodes=eval_episodes, gamma=gamma)
    state = backend.init(list(jax.random.split(jax.random.key(0), len(preferences))))
    started = time.perf_counter()
    state, metrics = backend.run(state, 1)
    jax.block_until_ready(metrics)
    compiling = time.perf_counter() - started
    per_update = len(preferences) * agent.learner.num_envs * agent.learner.rollout_steps
    updates = max(4, steps // per_update)
    rates = []
    for _ in range(5):
        started = time.perf_counter()
        state, metrics = backend.run(state, updates)
        jax.block_until_ready(metrics)
        rates.append(updates * per_update / (time.perf_counter() - started))
    return {"compiling": compiling, "rate": sorted(rates)[2]}
