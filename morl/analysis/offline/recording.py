"""Recording of logs: episodes of a behaviour, compiled and side by side, or one after another on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from morl.analysis.offline.behaviour import Acting, Behaviour
from morl.analysis.offline.files import check_format, write_log
from morl.analysis.offline.logs import Array, EpisodeLog
from morl.analysis.offline.policies import action_model
from morl.analysis.offline.settings import BehaviourSettings
from morl.envs.overflow import check_overflow
from morl.errors import UserError, closing
from morl.loading import front_of_seed, fronts_of, setup_of
from morl.ops.preferences import check_preference
from morl.ops.spaces import to_space
from morl.runs.front import Front
from morl.training.evaluation import MAX_STEPS
from morl.training.rollout import EnvRunnerState, start_batch, step
from morl.training.setup import Setup
from morl.types import PyTree
from morl.validation import changed

BLOCK = 1024  # episodes side by side
CHUNK = 32  # steps of a compiled call
FEWEST_LANES = 16  # side by side, where the others have ended
ONLY_ITSELF = "every action has probability 1: such a log can judge no policy but the one that it is of"
Columns = dict[str, Array]
Episodes = Callable[[PyTree, jax.Array, int, jax.Array], Iterator[Columns]]
"""Function from stacked policies, preferences (K, R), a number of episodes and a key to their steps, in blocks."""


def record_log(
    run: str | Path,
    path: str | Path | None = None,
    preference: Any = None,
    *,
    policy: int | None = None,
    episodes: int = 1000,
    seed: int = 0,
    training_seed: int | None = None,
    settings: BehaviourSettings | None = None,
    env: Any = None,
    **changes: Any,
) -> EpisodeLog:
    """Record episodes of policies of a finished run, with the probability of every action.

    Args:
        run: run directory.
        path: new file to write them to, .npz or .parquet; none by default.
        preference: (R,) weights on the simplex; the policy with the largest weighted return acts.
        policy: a policy by its number in ``front.csv`` instead.
        episodes: number of them.
        seed: of all random numbers.
        training_seed: whose front; by default that of the first seed.
        settings: :class:`BehaviourSettings`; with ``mixture`` neither preference nor policy is given.
        env: the environment, as for :func:`morl.load`.
        changes: settings by name, which win over ``settings``: ``epsilon=0.1``.

    Raises:
        UserError: not a finished run, no such policy, actions whose probabilities are not known, a file that cannot be
            written.
    """
    settings = changed(settings, BehaviourSettings, changes)
    if episodes < 1:
        raise UserError(f"episodes must be at least 1, not {episodes}")
    if settings.mixture + (preference is not None) + (policy is not None) != 1:
        raise UserError("give a preference, the number of a policy, or mixture, one of the three")
    if path is not None:
        check_format(Path(path))
    setup, trained = setup_of(Path(run), env=env)
    setup.require("rollout")
    if setup.has_objects:
        raise UserError(f"a sampler of objects ({setup.spec.name}) has no policies to judge by a log")
    if preference is not None:  # before anything is compiled
        check_preference(preference, len(setup.objectives), setup.objectives)
    model = action_model(
        setup.agent.learner, setup.env.action_space, settings.behaviour, getattr(setup.env, "action_mask", None)
    )
    front = front_of_seed(fronts_of(Path(run), setup, trained), training_seed)
    if settings.mixture:
        rows = list(range(len(front)))
    else:
        rows = [(front.policy(preference) if policy is None else front.at(policy)).id]
    behaviour = Behaviour(model, settings.epsilon)
    log = record(setup, front, rows, behaviour, episodes, seed, description(rows, settings))
    if path is not None:
        write_log(path, log)
    return log


def description(rows: list[int], settings: BehaviourSettings) -> str:
    """Return a behaviour in words."""
    which = f"policy {rows[0]}" if len(rows) == 1 else f"one of policies {rows[0]} to {rows[-1]} an episode"
    explored = f", {settings.epsilon:g} of them uniform" if settings.epsilon else ""
    return f"{which}, {settings.behaviour} actions{explored}"


def policies_of(front: Front, rows: list[int]) -> tuple[PyTree, jax.Array]:
    """Return the parameters of rows of a front, stacked, and their preferences (K, R)."""
    if front.conditional:
        params = jax.tree.map(lambda x: jnp.broadcast_to(jnp.asarray(x)[None], (len(rows), *np.shape(x))), front.params)
    else:
        params = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[rows]), front.params)
    return params, jnp.asarray(front.preferences[rows], jnp.float32)


def record(
    setup: Setup, front: Front, rows: list[int], behaviour: Behaviour, episodes: int, seed: int, text: str = ""
) -> EpisodeLog:
    """Record episodes of policies of a front, as many as asked for, as :func:`record_log` does."""
    run = recorder(setup, behaviour)
    return collected(setup, run(*policies_of(front, rows), episodes, jax.random.key(seed)), seed, text)


def collected(setup: Setup, episodes: Iterable[Columns], seed: int, text: str) -> EpisodeLog:
    """Return the log of episodes as :func:`recorder` yields them."""
    blocks = list(episodes)
    columns: Columns = {}
    for name in blocks[0]:
        columns[name] = np.concatenate([block[name] for block in blocks])
    ends = np.cumsum(np.bincount(columns["episode"]))
    columns["step"] = np.arange(len(columns["episode"])) - np.append(0, ends[:-1])[columns["episode"]]
    return EpisodeLog(
        env=setup.env_name,
        env_kwargs=setup.env_kwargs,
        objectives=setup.objectives,
        gamma=setup.gamma,
        behaviour=text,
        seed=seed,
        **columns,
    )


def recorder(setup: Setup, behaviour: Behaviour) -> Episodes:
    """Return a function that runs episodes, in blocks, compiled once for each number of policies."""
    return _compiled_episodes(setup, behaviour) if setup.backend == "jax" else _host_episodes(setup, behaviour)


def _compiled_episodes(setup: Setup, behaviour: Behaviour) -> Episodes:
    """Return a function that runs episodes of an environment in JAX, in blocks of one shape."""
    env, most = setup.env, setup.env.max_episode_steps or MAX_STEPS
    params = env.default_params

    def one(
        policies: tuple[PyTree, jax.Array],
        carry: tuple[EnvRunnerState, Acting, jax.Array],
        inputs: tuple[jax.Array, jax.Array],
    ) -> tuple[tuple[EnvRunnerState, Acting, jax.Array], dict[str, jax.Array]]:
        runners, acting, alive = carry
        key, t = inputs
        key_act, key_env = jax.random.split(key)
        acting, action, log_prob = behaviour.act(*policies, acting, runners.obs, key_act)
        following, out = jax.vmap(partial(step, env, params))(jax.random.split(key_env, len(alive)), runners, action)
        truncated = out.truncated | ((t + 1 >= most) & ~out.terminated)
        row = {
            "observation": runners.obs,
            "action": action,
            "reward": out.reward,
            "terminated": out.terminated,
            "truncated": truncated,
            "log_prob": log_prob,
            "alive": alive,
        }
        return (following, acting, alive & ~(out.terminated | truncated)), row

    begin = jax.jit(partial(start_batch, env, params), static_argnames="num_envs")
    chunk = jax.jit(lambda policies, carry, keys, times: jax.lax.scan(partial(one, policies), carry, (keys, times)))

    def run(params: PyTree, preferences: jax.Array, episodes: int, key: jax.Array) -> Iterator[Columns]:
        block = min(episodes, BLOCK)
        for first in range(0, episodes, block):
            key_start, key_draw, key_steps = jax.random.split(jax.random.fold_in(key, first), 3)
            used = min(block, episodes - first)
            acting = behaviour.start(len(preferences), block, key_draw)
            carry = begin(key_start, num_envs=block), acting, jnp.arange(block, dtype=jnp.int32) < used
            lanes = np.arange(block)  # the episode that each lane runs
            parts: list[Columns] = []
            for t in range(0, most, CHUNK):
                times = jnp.arange(t, t + CHUNK, dtype=jnp.int32)
                keys = jax.vmap(partial(jax.random.fold_in, key_steps))(times)
                carry, rows = chunk((params, preferences), carry, keys, times)
                where = np.nonzero(np.asarray(rows.pop("alive")))
                parts.append({name: np.asarray(x)[where] for name, x in rows.items()})
                parts[-1]["episode"] = lanes[where[1]] + first
                check_overflow(env, carry[0].overflow)
                carry, lanes = _without_idle_lanes(carry, lanes)
                if not len(lanes):
                    break
            yield _by_episode(parts)

    return run


def _without_idle_lanes(carry: Any, lanes: Array) -> tuple[Any, Array]:
    """Return an eighth of the lanes, of that an eighth, as long as all episodes that go on fit; none if none does.

    Each number of lanes is compiled, so there are few.
    """
    alive = np.flatnonzero(np.asarray(carry[2]))
    number = len(lanes)
    while number > FEWEST_LANES and len(alive) <= number // 8:
        number //= 8
    if not len(alive) or number == len(lanes):
        return carry, lanes[: len(alive) and number]
    kept = np.append(alive, np.setdiff1d(np.arange(len(lanes)), alive)[: number - len(alive)])
    runners, acting, flags = carry
    acting = Acting(acting.drawn[kept], acting.log_likelihood[:, kept])
    return (jax.tree.map(lambda x: x[kept], runners), acting, flags[kept]), lanes[kept]


def _by_episode(parts: list[Columns]) -> Columns:
    """Return steps that were taken side by side in the order of their episodes."""
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(joined["episode"], kind="stable")
    joined["probability"] = np.exp(joined.pop("log_prob").astype(np.float64))
    return {name: column[order] for name, column in joined.items()}


def _host_episodes(setup: Setup, behaviour: Behaviour) -> Episodes:
    """Return a function that runs episodes of an environment on the host, one after another."""
    join = getattr(setup.env, "join", None)
    act = jax.jit(
        lambda params, preferences, acting, obs, key, t: behaviour.act(
            params, preferences, acting, obs, jax.random.fold_in(key, t)
        )
    )

    def run(params: PyTree, preferences: jax.Array, episodes: int, key: jax.Array) -> Iterator[Columns]:
        seeds = np.asarray(jax.random.randint(key, (episodes,), 0, 2**31 - 1, jnp.int32))
        env = setup.env.make_single()
        with closing(env):
            for i in range(episodes):
                key_draw, key_steps = jax.random.split(jax.random.fold_in(key, i))
                acting = behaviour.start(len(preferences), 1, key_draw)
                given, rows = env.reset(seed=int(seeds[i]))[0], []
                over, t = False, 0
                while not over:
                    obs = setup.observations.read(given if join is None else join(given, None))[0]
                    acting, action, log_prob = act(params, preferences, acting, obs, key_steps, np.int32(t))
                    given, reward, terminated, truncated, _ = env.step(to_space(setup.env.action_space, action)[0])
                    t += 1
                    truncated = not terminated and (truncated or t >= MAX_STEPS)
                    over = bool(terminated or truncated)
                    reward = np.asarray(reward, np.float32)
                    rows.append((obs[0], np.asarray(action)[0], reward, terminated, truncated, float(log_prob[0])))
                names = ("observation", "action", "reward", "terminated", "truncated", "log_prob")
                columns = {name: np.stack(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
                yield _by_episode([{**columns, "episode": np.full(len(rows), i)}])

    return run
