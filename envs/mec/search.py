"""Searches for fixed plans (a server for each step), LinUCB's bandit, and the search for the prices of foresight."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.envs.mec.environment import MecOffloading
from morl.envs.mec.params import Params
from morl.envs.mec.schemes import SCALES, Floats, Foresight, Revealed, features
from morl.errors import MissingExtraError

Plans = NDArray[np.int32]


def plan_returns(env: MecOffloading, params: Params, plans: jax.Array, key: jax.Array, episodes: int) -> jax.Array:
    """Return the mean returns (N, 2) of plans (N, T) over the same random episodes."""
    env = replace(env, capacity=None)  # room for any plan

    def episode(plan: jax.Array, key: jax.Array) -> jax.Array:
        key_reset, key_steps = jax.random.split(key)
        state, _ = env.reset(key_reset, params)

        def body(carry: tuple[Any, jax.Array], action: jax.Array) -> tuple[tuple[Any, jax.Array], None]:
            state, total = carry
            state, _, reward, _, _, _ = env.step(jax.random.fold_in(key_steps, state.step), state, action, params)
            return (state, total + reward), None

        return jax.lax.scan(body, (state, jnp.zeros(2, jnp.float32)), plan)[0][1]

    keys = jax.random.split(key, episodes)
    returns = jax.vmap(jax.vmap(episode, (None, 0)), (0, None))(plans, keys)
    return returns.mean(axis=1)


def annealing(
    env: MecOffloading,
    preferences: Floats,
    *,
    params: Params | None = None,
    iterations: int = 1000,
    episodes: int = 10,
    temperatures: tuple[float, float] = (1.0, 0.01),
    changes: float = 2.0,
    seed: int = 0,
) -> Plans:
    """Return a plan for each preference (N, 2) by simulated annealing, (N, T) int32.

    Each iteration changes a few steps of the plan and compares both on the same fresh episodes, half of ``episodes``
    each; 1000 x 10 is the published budget of 10 000 episodes. A worse plan is accepted with probability
    exp(change / temperature), which falls geometrically.

    Args:
        env: the simulator.
        preferences: weights of the scaled objectives.
        params: the system; plans use up to its largest number of edge servers.
        iterations, episodes: budget.
        temperatures: first and last, in units of the weighted return.
        changes: mean number of steps changed at once.
        seed: seed of all random draws.
    """
    params = env.default_params if params is None else params
    num_servers = params.num_edges[1] + 1
    number, length = len(preferences), env.steps
    weights = jnp.asarray(preferences * np.array(SCALES), jnp.float32)
    cooling = (temperatures[1] / temperatures[0]) ** (1.0 / max(iterations - 1, 1))

    def improve(i: jax.Array, plans: jax.Array) -> jax.Array:
        key_where, key_what, key_episodes, key_accept = jax.random.split(jax.random.fold_in(key_search, i), 4)
        change = jax.random.uniform(key_where, plans.shape, dtype=jnp.float32) < changes / length
        candidates = jnp.where(
            change, jax.random.randint(key_what, plans.shape, 0, num_servers, dtype=jnp.int32), plans
        )
        both = plan_returns(env, params, jnp.concatenate([plans, candidates]), key_episodes, max(episodes // 2, 1))
        scores = jnp.sum(both.reshape(2, number, 2) * weights[None], axis=-1)
        temperature = temperatures[0] * cooling**i
        chance = jnp.exp(jnp.minimum((scores[1] - scores[0]) / temperature, 0.0))
        accept = jax.random.uniform(key_accept, (number,), dtype=jnp.float32) < chance
        return jnp.where(accept[:, None], candidates, plans)

    key_start, key_search = jax.random.split(jax.random.key(seed))
    start = jax.random.randint(key_start, (number, length), 0, num_servers, dtype=jnp.int32)
    run = jax.jit(lambda plans: jax.lax.fori_loop(0, iterations, improve, plans))
    return np.asarray(run(start), np.int32)


def nsga2(
    env: MecOffloading,
    *,
    params: Params | None = None,
    population: int = 100,
    generations: int = 100,
    episodes: int = 10,
    seed: int = 0,
) -> Plans:
    """Return the non-dominated plans (N, T) of NSGA-II's last population (pymoo; Deb et al., 2002).

    Raises:
        MissingExtraError: pymoo is not installed.
    """
    try:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.problem import Problem
        from pymoo.operators.crossover.sbx import SBX
        from pymoo.operators.mutation.pm import PM
        from pymoo.operators.repair.rounding import RoundingRepair
        from pymoo.operators.sampling.rnd import IntegerRandomSampling
        from pymoo.optimize import minimize
    except ImportError as error:
        raise MissingExtraError("NSGA-II", "baselines") from error
    system = env.default_params if params is None else params
    returns = jax.jit(partial(plan_returns, env, system, episodes=episodes))
    keys = iter(jax.random.split(jax.random.key(seed), generations + 1))

    class Plan(Problem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(n_var=env.steps, n_obj=2, xl=0, xu=int(system.num_edges[1]), vtype=int)

        def _evaluate(self, plans: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            # padded to one shape, so that it compiles once
            plans = np.asarray(plans, np.int32)
            padded = np.concatenate([plans, np.repeat(plans[:1], population - len(plans), axis=0)])
            out["F"] = -np.asarray(returns(jnp.asarray(padded, jnp.int32), next(keys)), np.float64)[: len(plans)]

    operators = {
        "sampling": IntegerRandomSampling(),
        "crossover": SBX(vtype=float, repair=RoundingRepair()),
        "mutation": PM(vtype=float, repair=RoundingRepair()),
    }
    algorithm = NSGA2(pop_size=population, eliminate_duplicates=True, **operators)
    result = minimize(Plan(), algorithm, ("n_gen", generations), seed=seed, verbose=False)
    return np.atleast_2d(np.asarray(result.X, np.int32))


def linucb(
    env: MecOffloading,
    *,
    params: Params | None = None,
    rounds: int = 200,
    num_envs: int = 64,
    exploration: float = 1.0,
    ridge: float = 1.0,
    products: bool = False,
    seed: int = 0,
) -> Floats:
    """Return weights ``theta`` (S, D) of LinUCB (Li et al., 2010), an arm for each server, for :class:`Linear`.

    The reward of an arm is the weighted sum of the scaled rewards of one step. In a round every environment runs one
    episode for a random preference with the arm of the largest upper bound; then the estimates are updated. Steps
    without a task are left out.

    Args:
        env: the simulator.
        params: the system, or range of systems.
        rounds, num_envs: their product is the number of episodes.
        exploration: number of deviations from the estimate to the bound.
        ridge: weight of the prior.
        products: make the estimate linear in the products of preference and row, so that an arm has an estimate for
            each objective; else in the preference and the row, as published.
        seed: seed of all random draws.
    """
    env = replace(env, capacity=None)  # room for any choice
    params = env.default_params if params is None else params
    scales = jnp.asarray(SCALES, jnp.float32)
    columns = 1 + env.observation_space.shape[1]
    arms, size = env.num_servers, 2 * columns if products else 2 + columns

    @jax.jit
    def run(theta: jax.Array, inverse: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        def episode(key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
            key_weight, key_reset, key_steps = jax.random.split(key, 3)
            first = jax.random.uniform(key_weight, dtype=jnp.float32)
            preference = jnp.stack([first, 1.0 - first])
            state, obs = env.reset(key_reset, params)

            def body(carry: tuple[Any, jax.Array], key: jax.Array) -> Any:
                state, obs = carry
                x = features(obs, preference, products)
                spread = jnp.sqrt(jnp.maximum(jnp.einsum("ad,ade,ae->a", x, inverse, x), 0.0))
                bound = jnp.where(
                    env.action_mask(obs) > 0, jnp.sum(x * theta, axis=-1) + exploration * spread, -jnp.inf
                )
                arm = jnp.argmax(bound)
                there = state.size > 0
                state, obs, reward, _, _, _ = env.step(key, state, arm, params)
                return (state, obs), (x[arm], arm, jnp.sum(reward * scales * preference), there)

            rows: tuple[jax.Array, jax.Array, jax.Array, jax.Array]
            _, rows = jax.lax.scan(body, (state, obs), jax.random.split(key_steps, env.steps))
            return rows

        x, arm, reward, there = jax.vmap(episode)(jax.random.split(key, num_envs))
        chosen = jax.nn.one_hot(arm, arms, dtype=jnp.float32) * there[..., None]
        added = jnp.einsum("nta,ntd,nte->ade", chosen, x, x, precision="highest")
        return added, jnp.einsum("nta,ntd,nt->ad", chosen, x, reward, precision="highest")

    gram = np.tile(ridge * np.eye(size), (arms, 1, 1))
    sums: Floats = np.zeros((arms, size))
    theta: Floats = np.zeros((arms, size))
    for key in jax.random.split(jax.random.key(seed), rounds):
        inverse = np.linalg.inv(gram)  # in double precision, on the host
        added, weighted = run(jnp.asarray(theta, jnp.float32), jnp.asarray(inverse, jnp.float32), key)
        gram = gram + np.asarray(added, np.float64)
        sums += np.asarray(weighted, np.float64)
        theta[:] = np.linalg.solve(gram, sums[..., None])[..., 0]
    return theta


def prices(
    env: MecOffloading,
    preferences: Floats,
    *,
    params: Params | None = None,
    iterations: int = 8,
    population: int = 12,
    episodes: int = 16,
    seed: int = 0,
) -> Floats:
    """Return the two prices of :class:`.Foresight` for all preferences and systems, by the cross-entropy method, (2,).

    Each iteration draws prices from a normal distribution, of which the mean is the first, and compares them by their
    weighted returns, added up over the preferences, on the same fresh episodes. Mean and deviation move towards those
    of the best quarter (Rubinstein and Kroese, 2004).

    Args:
        env: the simulator.
        preferences: (N, 2) weights of the scaled objectives.
        params: the system, or range of systems.
        iterations, population, episodes: budget; each price is tried on ``episodes`` for each preference.
        seed: seed of all random draws.
    """
    params = env.default_params if params is None else params
    run, scheme = Revealed(env), Foresight(steps=env.steps, cycles_per_bit=env.cycles_per_bit)
    scales = jnp.asarray(scheme.scales, jnp.float32)

    def worth(price: jax.Array, preference: jax.Array, key: jax.Array) -> jax.Array:
        key_reset, key_steps = jax.random.split(key)

        def body(
            carry: tuple[Any, jax.Array, jax.Array], key: jax.Array
        ) -> tuple[tuple[Any, jax.Array, jax.Array], None]:
            state, obs, total = carry
            action = scheme.act(price, obs[None], preference, key, greedy=True)[0]
            state, obs, reward, *_ = run.step(key, state, action, params)
            return (state, obs, total + reward), None

        begin = (*run.reset(key_reset, params), jnp.zeros(2, jnp.float32))
        total = jax.lax.scan(body, begin, jax.random.split(key_steps, env.steps))[0][2]
        return jnp.sum(total * scales * preference)

    each = jax.vmap(jax.vmap(jax.vmap(worth, (None, None, 0)), (None, 0, None)), (0, None, None))
    score = jax.jit(lambda drawn, weights, keys: each(drawn, weights, keys).mean(axis=(1, 2)))
    rng, weights = np.random.default_rng(seed), jnp.asarray(preferences, jnp.float32)
    mean, spread, best = np.zeros(2), np.array([1.0, 8.0]), max(population // 4, 1)
    for i in range(iterations):
        drawn = np.maximum(mean + spread * rng.standard_normal((population, 2)), 0.0)
        drawn[0] = mean
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), i), episodes)
        chosen = drawn[np.argsort(-np.asarray(score(jnp.asarray(drawn, jnp.float32), weights, keys)))[:best]]
        mean, spread = 0.3 * mean + 0.7 * chosen.mean(axis=0), 0.5 * (spread + chosen.std(axis=0))
    return mean
