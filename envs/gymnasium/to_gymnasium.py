"""Adapters from JAX-native environments to Gymnasium: single, and batched in one compiled step.

After ``import morl``, ``gymnasium.make("morl/<id>")`` and ``gymnasium.make_vec("morl/<id>", num_envs=...)`` make them.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from morl.environments import make
from morl.envs.constructive.host_values import oracle_errors
from morl.envs.gymnasium.compiled import (
    BatchState,
    keys_of,
    reset_all,
    reset_one,
    reset_some,
    step_all,
    step_one,
)
from morl.envs.gymnasium.presentation import (
    INVALID,
    AnyEnv,
    Array,
    checked_action,
    heed_mask,
    mask_of,
    present,
    presented_space,
    with_masks,
)
from morl.envs.overflow import check_overflow
from morl.errors import UserError


class GymnasiumEnv(gymnasium.Env[Any, Any]):
    """Gymnasium environment of a JAX-native environment, with a vector reward, float32 (R,).

    Like any environment class of Gymnasium it applies no time limit: ``gymnasium.make`` adds it, and so does
    ``gymnasium.wrappers.TimeLimit(env, env.functional.max_episode_steps)`` for an instance made directly. Episodes
    follow ``reset(seed=)``; each step uses another key.

    Where the environment masks actions, the mask is in the observation and the info. A step by an action that it
    forbids takes the first allowed one instead, and says so by True under ``invalid_action`` in its info.

    Args:
        env: a functional environment, or the id of a registered one.
        render_mode: ``"rgb_array"`` where the environment can draw itself.
        strict: refuse actions that the mask forbids.
        kwargs: keywords of the environment given by id.

    Attributes:
        functional: the JAX-native environment.
        reward_space: ``Box`` of shape (R,).
        objectives: name and unit of each reward.

    Raises:
        UserError: unknown id or keyword, a render mode that the environment does not have; in ``step`` an action
            outside ``action_space``, with ``strict`` a masked one, or an episode that a fixed size of the environment
            has no room for.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012

    def __init__(self, env: AnyEnv | str, render_mode: str | None = None, strict: bool = False, **kwargs: Any) -> None:
        self.functional = _functional(env, kwargs)
        fps = getattr(self.functional, "render_fps", self.metadata["render_fps"])
        modes = self.metadata["render_modes"] if hasattr(self.functional, "render") else []
        self.metadata = {"render_modes": modes, "render_fps": fps}
        allowed = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in allowed:
            raise UserError(f"{self.functional.id} has no render mode {render_mode!r}; allowed: {allowed or 'none'}")
        self.render_mode = render_mode
        self.observation_space = presented_space(self.functional)
        self.action_space = self.functional.action_space
        self.reward_space = self.functional.reward_space
        self.objectives = self.functional.objectives
        self._strict = strict
        self._params = self.functional.default_params
        self._key: jax.Array | None = None
        self._mask: Array | None = None
        self._state: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode. A seed makes this episode and the following ones reproducible; there are no options."""
        super().reset(seed=seed)
        _refuse_options(self.functional, options)
        if seed is not None or self._key is None:
            self._key = jax.random.key(_draw_seed(self.np_random))
        self._key, self._state, obs, info = reset_one(self.functional, self._key, self._params)
        obs = present(self.functional, obs, self.observation_space)
        self._mask = mask_of(self.functional, obs)
        return obs, jax.tree.map(np.array, info)

    @oracle_errors()
    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Advance one step; all returned arrays are new."""
        if self._key is None:
            raise ResetNeeded("call reset before step")
        action = checked_action(self.functional, self.action_space, action)
        told: dict[str, Any] = {}
        if self._mask is not None:
            action, invalid = heed_mask(self.functional, action, self._mask, self._strict)
            told = {INVALID: bool(invalid)}
        self._key, self._state, obs, reward, terminated, truncated, info, overflow = step_one(
            self.functional, self._key, self._state, action, self._params
        )
        check_overflow(self.functional, overflow)
        obs, reward = present(self.functional, obs, self.observation_space), np.array(reward, np.float32)
        self._mask = mask_of(self.functional, obs)
        return obs, reward, bool(terminated), bool(truncated), {**jax.tree.map(np.array, info), **told}

    def render(self) -> Any:
        """Draw the current state, (H, W, 3) uint8; ``None`` without a render mode."""
        if self.render_mode is None:
            return None
        if self._state is None:
            raise ResetNeeded("call reset before render")
        return np.array(self.functional.render(self._state, self._params), np.uint8)  # type: ignore[attr-defined]


class GymnasiumVectorEnv(VectorEnv[Any, Any, Any]):
    """Gymnasium vector environment of ``num_envs`` JAX-native environments; rewards are float32 (num_envs, R).

    All environments are stepped in one compiled call.

    Environment ``i`` of ``reset(seed=s)`` runs the same episodes as a :class:`GymnasiumEnv` of ``reset(seed=s + i)``.

    Args:
        env: a functional environment, or the id of a registered one.
        num_envs: B.
        max_episode_steps: steps after which an episode is truncated; ``None`` for the environment's own limit, -1 for
            no limit.
        autoreset_mode: Gymnasium's ``NEXT_STEP`` (the step after an end resets, with reward 0), ``SAME_STEP`` (the
            last observation is in ``info["final_obs"]``) or ``DISABLED`` (``reset(options={"reset_mask": ended})``).
        strict: refuse actions that the mask forbids; by default as in :class:`GymnasiumEnv`.
        kwargs: keywords of the environment given by id.

    Attributes:
        functional: the JAX-native environment.
        reward_space: ``Box`` of shape (R,), of one environment.
        objectives: name and unit of each reward.

    Raises:
        UserError: unknown id or keyword, a number out of range, an unknown mode; in ``step`` an action outside
            ``action_space``, with ``strict`` a masked one, an environment that has ended where the mode is DISABLED, or
            an episode that a fixed size of the environment has no room for.
    """

    def __init__(
        self,
        env: AnyEnv | str,
        num_envs: int = 1,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        strict: bool = False,
        **kwargs: Any,
    ) -> None:
        self.functional = _functional(env, kwargs)
        if num_envs < 1:
            raise UserError(f"num_envs must be at least 1, not {num_envs}")
        limit = self.functional.max_episode_steps if max_episode_steps is None else max_episode_steps
        if limit is not None and limit < 1 and limit != -1:
            raise UserError(f"max_episode_steps must be at least 1, or -1 for no limit, not {limit}")
        if autoreset_mode not in (*AutoresetMode, *(mode.value for mode in AutoresetMode)):
            names = " or ".join(mode.value for mode in AutoresetMode)
            raise UserError(f"autoreset_mode must be {names}, not {autoreset_mode}")
        self._limit = None if limit == -1 else limit
        self._mode = AutoresetMode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self._mode}
        self.num_envs = num_envs
        self.single_observation_space = presented_space(self.functional)
        self.single_action_space = self.functional.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.reward_space = self.functional.reward_space
        self.objectives = self.functional.objectives
        self._strict = strict
        self._params = self.functional.default_params
        self._batch: BatchState | None = None
        self._obs: Any = None
        self._mask: Array | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode in every environment; a seed s gives environment i the seed s + i.

        The one option is ``reset_mask``, (B,) bool: environments where it is False stay as they are.
        """
        super().reset(seed=seed)
        rows = self._rows(dict(options or {}))
        if seed is not None:
            seeds = [_draw_seed(seeding.np_random(seed + i)[0]) for i in range(self.num_envs)]
            keys = keys_of(np.array(seeds, np.uint32))
        elif self._batch is None:
            keys = keys_of(self.np_random.integers(2**32, size=self.num_envs, dtype=np.uint32))
        else:
            keys = self._batch.key
        if self._batch is None or rows.all():
            self._batch, self._obs, info = reset_all(self.functional, keys, self._params)
        else:
            self._batch, self._obs, info = reset_some(self.functional, rows, keys, self._batch, self._obs, self._params)
        obs = present(self.functional, self._obs, self.observation_space)
        self._mask = mask_of(self.functional, obs)
        return obs, with_masks(jax.tree.map(np.asarray, info), rows)

    def _rows(self, options: dict[str, Any]) -> NDArray[np.bool_]:
        """Return which environments (B,) a reset with these options starts; raise UserError for other options."""
        rows = options.pop("reset_mask", np.ones(self.num_envs, bool))
        _refuse_options(self.functional, options)
        if not isinstance(rows, np.ndarray) or (rows.shape, rows.dtype) != ((self.num_envs,), bool) or not rows.any():
            raise UserError(f"reset_mask must be a bool array ({self.num_envs},) with a True, not {rows!r}")
        if self._batch is None and not rows.all():
            raise UserError("the first reset must be of all environments, without reset_mask")
        return rows

    @oracle_errors()
    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Advance all environments; all returned arrays are new."""
        if self._batch is None:
            raise ResetNeeded("call reset before step")
        actions = checked_action(self.functional, self.action_space, actions)
        was_reset = np.asarray(self._batch.ended)
        if self._mode is AutoresetMode.DISABLED and was_reset.any():
            ended = ", ".join(map(str, np.flatnonzero(was_reset)))
            raise UserError(f"environments that have ended: {ended}; reset them by reset_mask before the next step")
        told: dict[str, Any] = {}
        if self._mask is not None:
            actions, told[INVALID] = heed_mask(self.functional, actions, self._mask, self._strict, ~was_reset)
        self._batch, out = step_all(self.functional, self._mode, self._limit, self._batch, actions, self._params)
        check_overflow(self.functional, out.overflow)
        terminated, truncated = np.array(out.terminated), np.array(out.truncated)
        ended = terminated | truncated
        info = {**jax.tree.map(np.asarray, out.info), **told}
        if self._mode is not AutoresetMode.SAME_STEP:
            infos = with_masks(info, ~was_reset)
        else:
            infos = with_masks(info, ~ended)
            if ended.any():
                infos |= self._final(out.final_obs, info, ended)
        self._obs = out.obs
        obs = present(self.functional, out.obs, self.observation_space)
        self._mask = mask_of(self.functional, obs)
        return obs, np.array(out.reward, np.float32), terminated, truncated, infos

    def _final(self, final_obs: jax.Array, info: dict[str, Any], ended: NDArray[np.bool_]) -> dict[str, Any]:
        """Return the last observations and infos of ended episodes in the layout of Gymnasium's vector environments."""
        batch = np.asarray(final_obs)
        each = np.full(self.num_envs, None, object)
        for i in np.flatnonzero(ended):
            each[i] = present(self.functional, batch[i], self.single_observation_space)
        return {
            "final_obs": each,
            "_final_obs": ended.copy(),
            "final_info": with_masks(info, ended),
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
