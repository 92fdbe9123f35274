"""JAX-native environments as Gymnasium environments: single, and batched in one compiled step.

``gymnasium.make("morl/<id>")`` and ``gymnasium.make_vec("morl/<id>", num_envs=...)`` give these after ``import morl``.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from morl.environments import make
from morl.envs.base import Environment
from morl.envs.constructive.host_values import oracle_errors
from morl.errors import UserError

MASK = "action_mask"  # Gymnasium's name, in observations and infos
AnyEnv = Environment[Any, Any]
Array = NDArray[Any]


class GymnasiumEnv(gymnasium.Env[Any, Any]):
    """One JAX-native environment behind Gymnasium's interface, with a vector reward, float32 (R,).

    Like any environment class of Gymnasium it has no time limit of its own: ``gymnasium.make`` adds it, and
    ``gymnasium.wrappers.TimeLimit(env, env.functional.max_episode_steps)`` does around one that was made directly.
    Episodes follow ``reset(seed=)``; each step uses a key of its own.

    Args:
        env: a functional environment, or the id of a registered one.
        render_mode: ``"rgb_array"`` where the environment can draw itself.
        kwargs: keywords of the environment given by id.

    Attributes:
        functional: the environment itself.
        reward_space: ``Box`` of shape (R,).
        objectives: name and unit of each reward.

    Raises:
        UserError: unknown id or keyword, a render mode it has not; in ``step`` an action outside ``action_space``.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012

    def __init__(self, env: AnyEnv | str, render_mode: str | None = None, **kwargs: Any) -> None:
        self.functional = _functional(env, kwargs)
        fps = getattr(self.functional, "render_fps", self.metadata["render_fps"])
        modes = self.metadata["render_modes"] if hasattr(self.functional, "render") else []
        self.metadata = {"render_modes": modes, "render_fps": fps}
        allowed = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in allowed:
            raise UserError(f"{self.functional.id} has no render mode {render_mode!r}; allowed: {allowed or 'none'}")
        self.render_mode = render_mode
        self.observation_space = _presented_space(self.functional)
        self.action_space = self.functional.action_space
        self.reward_space = self.functional.reward_space
        self.objectives = self.functional.objectives
        self._params = self.functional.default_params
        self._key: jax.Array | None = None
        self._mask: Array | None = None
        self._state: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode. A seed makes it and the ones after it repeatable; there are no options."""
        super().reset(seed=seed)
        _refuse_options(self.functional, options)
        if seed is not None or self._key is None:
            self._key = jax.random.key(_draw_seed(self.np_random))
        self._key, self._state, obs, info = _reset_one(self.functional, self._key, self._params)
        obs = _present(self.functional, obs, self.observation_space)
        self._mask = _mask_of(self.functional, obs)
        return obs, jax.tree.map(np.array, info)

    @oracle_errors()
    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Advance one step; all arrays are fresh."""
        if self._key is None:
            raise ResetNeeded("call reset before step")
        action = _checked_action(self.functional, self.action_space, action)
        _refuse_masked(self.functional, action, self._mask)
        self._key, self._state, obs, reward, terminated, truncated, info = _step_one(
            self.functional, self._key, self._state, action, self._params
        )
        obs, reward = _present(self.functional, obs, self.observation_space), np.array(reward, np.float32)
        self._mask = _mask_of(self.functional, obs)
        return obs, reward, bool(terminated), bool(truncated), jax.tree.map(np.array, info)

    def render(self) -> Any:
        """The current state as an image, (H, W, 3) uint8; ``None`` without a render mode."""
        if self.render_mode is None:
            return None
        if self._state is None:
            raise ResetNeeded("call reset before render")
        return np.array(self.functional.render(self._state, self._params), np.uint8)  # type: ignore[attr-defined]


class Lanes(NamedTuple):
    """Running environments.

    Attributes:
        key: (B,) each one's random key.
        state: (B, ...) each one's own state.
        steps: (B,) int32, steps taken in this episode.
        ended: (B,) bool, the last step ended the episode and the next one resets it.
    """

    key: jax.Array
    state: Any
    steps: jax.Array
    ended: jax.Array


class Outcome(NamedTuple):
    """What one batched step gave: ``final_obs`` is the true successor, ``obs`` what to act on next."""

    obs: jax.Array
    final_obs: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    info: dict[str, Any]


class GymnasiumVectorEnv(VectorEnv[Any, Any, Any]):
    """``num_envs`` JAX-native environments in one compiled step; rewards are float32 (num_envs, R).

    Environment ``i`` of ``reset(seed=s)`` runs the same episodes as a :class:`GymnasiumEnv` of ``reset(seed=s + i)``.

    Args:
        env: a functional environment, or the id of a registered one.
        num_envs: B.
        max_episode_steps: steps after which an episode is truncated; ``None`` for the environment's own limit, -1 for
            no limit.
        autoreset_mode: Gymnasium's ``NEXT_STEP`` (the step after an end resets, with reward 0) or ``SAME_STEP`` (the
            last observation is in ``info["final_obs"]``).
        kwargs: keywords of the environment given by id.

    Attributes:
        functional: the environment itself.
        reward_space: ``Box`` of shape (R,), of one environment.
        objectives: name and unit of each reward.

    Raises:
        UserError: unknown id or keyword, a number out of range, a mode that is not supported; in ``step`` an action
            outside ``action_space``.
    """

    def __init__(
        self,
        env: AnyEnv | str,
        num_envs: int = 1,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **kwargs: Any,
    ) -> None:
        self.functional = _functional(env, kwargs)
        if num_envs < 1:
            raise UserError(f"num_envs must be at least 1, not {num_envs}")
        limit = self.functional.max_episode_steps if max_episode_steps is None else max_episode_steps
        if limit is not None and limit < 1 and limit != -1:
            raise UserError(f"max_episode_steps must be at least 1, or -1 for no limit, not {limit}")
        allowed = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]
        if autoreset_mode not in (*allowed, *(mode.value for mode in allowed)):
            names = " or ".join(mode.value for mode in allowed)
            raise UserError(f"autoreset_mode must be {names}, not {autoreset_mode}")
        self._limit = None if limit == -1 else limit
        self._mode = AutoresetMode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self._mode}
        self.num_envs = num_envs
        self.single_observation_space = _presented_space(self.functional)
        self.single_action_space = self.functional.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.reward_space = self.functional.reward_space
        self.objectives = self.functional.objectives
        self._params = self.functional.default_params
        self._lanes: Lanes | None = None
        self._mask: Array | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode in every environment. One seed gives each its own; there are no options."""
        super().reset(seed=seed)
        _refuse_options(self.functional, options)
        if seed is not None:
            seeds = [_draw_seed(seeding.np_random(seed + i)[0]) for i in range(self.num_envs)]
            keys = _keys_of(np.array(seeds, np.uint32))
        elif self._lanes is None:
            keys = _keys_of(self.np_random.integers(2**32, size=self.num_envs, dtype=np.uint32))
        else:
            keys = self._lanes.key
        self._lanes, obs, info = _reset_all(self.functional, keys, self._params)
        obs = _present(self.functional, obs, self.observation_space)
        self._mask = _mask_of(self.functional, obs)
        return obs, _with_masks(jax.tree.map(np.asarray, info), np.ones(self.num_envs, bool))

    @oracle_errors()
    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Advance all environments; all arrays are fresh."""
        if self._lanes is None:
            raise ResetNeeded("call reset before step")
        actions = _checked_action(self.functional, self.action_space, actions)
        was_reset = np.asarray(self._lanes.ended)
        _refuse_masked(self.functional, actions, self._mask, ~was_reset)
        self._lanes, out = _step_all(self.functional, self._mode, self._limit, self._lanes, actions, self._params)
        terminated, truncated = np.array(out.terminated), np.array(out.truncated)
        ended = terminated | truncated
        info = jax.tree.map(np.asarray, out.info)
        if self._mode is AutoresetMode.NEXT_STEP:
            infos = _with_masks(info, ~was_reset)
        else:
            infos = _with_masks(info, ~ended)
            if ended.any():
                infos |= self._final(out.final_obs, info, ended)
        obs = _present(self.functional, out.obs, self.observation_space)
        self._mask = _mask_of(self.functional, obs)
        return obs, np.array(out.reward, np.float32), terminated, truncated, infos

    def _final(self, final_obs: jax.Array, info: dict[str, Any], ended: NDArray[np.bool_]) -> dict[str, Any]:
        """The last observations and infos of ended episodes, laid out as Gymnasium's own vector environments do."""
        batch = np.asarray(final_obs)
        each = np.full(self.num_envs, None, object)
        for i in np.flatnonzero(ended):
            each[i] = _present(self.functional, batch[i], self.single_observation_space)
        return {
            "final_obs": each,
            "_final_obs": ended.copy(),
            "final_info": _with_masks(info, ended),
            "_final_info": ended.copy(),
        }


def _functional(env: AnyEnv | str, kwargs: dict[str, Any]) -> AnyEnv:
    if isinstance(env, str):
        return make(env, backend="jax", **kwargs)
    if kwargs:
        raise UserError(f"keywords {', '.join(kwargs)} need an environment given by id; {env.id} is made already")
    return env


def _draw_seed(generator: np.random.Generator) -> int:
    return int(generator.integers(2**32))


def _refuse_options(env: AnyEnv, options: dict[str, Any] | None) -> None:
    if options:
        raise UserError(f"{env.id} has no reset options, so {', '.join(options)} would have no effect")


def _checked_action(env: AnyEnv, space: Space[Any], action: Any) -> Array:
    """The action as JAX takes it, refused when it is not in ``space``."""
    array = np.asarray(action)
    real = isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)
    if np.issubdtype(array.dtype, np.integer) or (real and np.issubdtype(array.dtype, np.floating)):
        cast = array.astype(space.dtype)  # float64 for float32, for one
        if space.contains(cast):
            return cast.astype(jax.dtypes.canonicalize_dtype(cast.dtype))
    if isinstance(space, spaces.Discrete):
        allowed = f"an integer from {space.start} to {space.start + space.n - 1}"
    else:
        allowed = f"a member of {space}".replace("\n", "")
    raise UserError(f"action {action} for {env.id}; allowed: {allowed}")


def _fresh(obs: Any, space: Space[Any]) -> Any:
    """An observation on the host, sharing memory with nothing; a number for ``Discrete``."""
    array = np.array(obs, space.dtype)
    return array[()] if isinstance(space, spaces.Discrete) else array


def _presented_space(env: AnyEnv) -> Space[Any]:
    """The observation space as Gymnasium sees it: with the mask of actions, where there is one."""
    if not hasattr(env, "action_mask"):
        return env.observation_space
    mask = spaces.MultiBinary(int(env.action_space.n))  # type: ignore[attr-defined]
    return spaces.Dict({env.observation_key: env.observation_space, MASK: mask})  # type: ignore[attr-defined]


def _present(env: AnyEnv, obs: Any, space: Space[Any]) -> Any:
    """An observation, or a batch of them, in its presented space."""
    if not isinstance(space, spaces.Dict):
        return _fresh(obs, space)
    array = np.asarray(obs)
    mask = env.action_mask(array)  # type: ignore[attr-defined]
    return {name: _fresh(mask if name == MASK else array, part) for name, part in space.items()}


def _mask_of(env: AnyEnv, obs: Any) -> Array | None:
    return obs[MASK].copy() if hasattr(env, "action_mask") else None  # the caller may change what it was given


def _refuse_masked(env: AnyEnv, action: Array, mask: Array | None, rows: Any = True) -> None:
    """Refuse an action (...) that its mask (..., n) forbids; only those of ``rows`` count."""
    if mask is None:
        return
    forbidden = (np.take_along_axis(mask, action[..., None], axis=-1)[..., 0] == 0) & rows
    if forbidden.any():
        first = np.argwhere(forbidden)[0]
        allowed = ", ".join(map(str, np.flatnonzero(mask[tuple(first)])))
        where = f" in environment {first[0]}" if len(first) else ""
        raise UserError(f"action {action[tuple(first)]} for {env.id} is masked{where}; allowed now: {allowed}")


def _with_masks(info: dict[str, Any], mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Batched infos where ``mask``, zero elsewhere, each key with its ``_key`` mask, as Gymnasium has them."""
    if not mask.any():
        return {}
    masked: dict[str, Any] = {}
    for name, value in info.items():
        if isinstance(value, dict):
            masked[name] = _with_masks(value, mask)
        else:
            masked[name] = np.where(mask.reshape(-1, *[1] * (value.ndim - 1)), value, np.zeros((), value.dtype))
        masked["_" + name] = mask.copy()
    return masked


# Compiled once for equal environments, whichever adapter holds them.


@partial(jax.jit, static_argnums=0)
def _reset_one(env: AnyEnv, key: jax.Array, params: Any) -> tuple[jax.Array, Any, jax.Array, dict[str, Any]]:
    key, key_reset = jax.random.split(key)
    state, obs = env.reset(key_reset, params)
    return key, state, obs, _info(env, state, params)


def _info(env: AnyEnv, state: Any, params: Any) -> dict[str, Any]:
    """What is known of a fresh episode."""
    info: dict[str, Any] = env.info(state, params) if hasattr(env, "info") else {}
    return info


@partial(jax.jit, static_argnums=0)
def _step_one(env: AnyEnv, key: jax.Array, state: Any, action: jax.Array, params: Any) -> tuple[Any, ...]:
    key, key_step = jax.random.split(key)
    return key, *env.step(key_step, state, action, params)


@jax.jit
def _keys_of(seeds: Array) -> jax.Array:
    return jax.vmap(jax.random.key)(seeds)


def _split(keys: jax.Array) -> tuple[jax.Array, jax.Array]:
    """For each of (B,) keys one to keep and one to use."""
    pairs = jax.vmap(jax.random.split)(keys)
    return pairs[:, 0], pairs[:, 1]


@partial(jax.jit, static_argnums=0)
def _reset_all(env: AnyEnv, keys: jax.Array, params: Any) -> tuple[Lanes, jax.Array, dict[str, Any]]:
    keys, keys_reset = _split(keys)
    state, obs = jax.vmap(env.reset, (0, None))(keys_reset, params)
    info = jax.vmap(partial(_info, env), (0, None))(state, params)
    return Lanes(keys, state, jnp.zeros(len(keys), jnp.int32), jnp.zeros(len(keys), bool)), obs, info


@partial(jax.jit, static_argnums=(0, 1, 2))
def _step_all(
    env: AnyEnv, mode: AutoresetMode, limit: int | None, lanes: Lanes, actions: jax.Array, params: Any
) -> tuple[Lanes, Outcome]:
    keys, keys_use = _split(lanes.key)
    state, obs, reward, terminated, truncated, info = jax.vmap(env.step, (0, 0, 0, None))(
        keys_use, lanes.state, actions, params
    )
    steps = lanes.steps + 1
    if limit is not None:
        truncated = truncated | (steps >= limit)

    if mode is AutoresetMode.NEXT_STEP:
        again = lanes.ended  # these rows took no step: their key is still unused
        state, obs, steps = _reset_where(env, again, keys_use, params, (state, obs, steps))
        reward = jnp.where(again[:, None], 0.0, reward)
        terminated, truncated = terminated & ~again, truncated & ~again
        out = Outcome(obs, obs, reward, terminated, truncated, info)
        return Lanes(keys, state, steps, terminated | truncated), out

    again = terminated | truncated
    kept, keys_reset = _split(keys)
    keys = jnp.where(again, kept, keys)
    state, next_obs, steps = _reset_where(env, again, keys_reset, params, (state, obs, steps))
    return Lanes(keys, state, steps, lanes.ended), Outcome(next_obs, obs, reward, terminated, truncated, info)


def _reset_where(env: AnyEnv, again: jax.Array, keys: jax.Array, params: Any, running: Any) -> Any:
    """``(state, obs, steps)`` with the rows of ``again`` at the start of an episode; free when there is none."""

    def fresh() -> Any:
        state, obs = jax.vmap(env.reset, (0, None))(keys, params)
        started = (state, obs, jnp.zeros_like(running[2]))

        def choose(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(again.reshape(-1, *[1] * (old.ndim - 1)), new, old)

        return jax.tree.map(choose, started, running)

    return jax.lax.cond(jnp.any(again), fresh, lambda: running)
