"""Interface to any Gymnasium vector environment with vector rewards, in any auto-reset mode."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import ArrayLike, NDArray

from morl.envs.host.guard import checked_reward
from morl.envs.host.in_process import VectorRewardSync
from morl.envs.host.reward_steps import RewardSteps
from morl.envs.host.worker_pool import WorkerPool
from morl.errors import UserError, user_code
from morl.ops.spaces import all_inside, to_space
from morl.spaces import Observations


class HostStep(NamedTuple):
    """Results of a step of B environments; no row spans two episodes.

    Attributes:
        next_obs: (B, ...) true successor of the observation acted on, before any reset.
        reward: (B, R) float32.
        terminated: (B,) bool, the environment terminated the episode.
        truncated: (B,) bool, the episode was truncated; never set together with ``terminated``.
        obs: (B, ...) observation to act on next, after any reset.
        valid: (B,) bool, False where the row must not be learnt from: the step was only a reset and ignored the action,
            the environment was not stepped (``once``), or the step was lost.
        lost: (B,) bool, the step was lost with its worker process; the episode is truncated, and reward and successor
            are placeholders.
    """

    next_obs: NDArray[Any]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    obs: NDArray[Any]
    valid: NDArray[np.bool_]
    lost: NDArray[np.bool_]


class HostVectorEnv:
    """Vector environment with the same results for every auto-reset mode.

    Where the mode is DISABLED, environments whose episode has ended are reset in the same step, by ``reset_mask``. So
    are those of Gymnasium's ``AsyncVectorEnv`` in mode NEXT_STEP, whose own resets give one number for a reward.

    Args:
        envs: a vector environment whose observations and actions are arrays. Gymnasium's ``SyncVectorEnv`` keeps one
            number for each environment and cannot hold a vector; MO-Gymnasium's ``MOSyncVectorEnv`` does.
        num_objectives: R.
        id: name for error messages.
        finite: refuse rewards that are not finite; otherwise the caller must check them.
        observations: turns observations into what agents see; by default they are as the environment gives them.

    Raises:
        UserError: an unknown auto-reset mode, observations that are no arrays, or an ``envs`` that cannot hold vector
            rewards.
    """

    def __init__(
        self,
        envs: VectorEnv[Any, Any, Any],
        num_objectives: int,
        id: str = "the environment",
        finite: bool = True,
        observations: Observations | None = None,
    ) -> None:
        self._mode = _checked_mode(envs, id)
        if envs.single_observation_space.shape is None:
            kind = type(envs.single_observation_space).__name__
            raise UserError(f"{id}: vector environment of {kind} observations; allowed: arrays (flatten them)")
        self.id = id
        self.num_envs = envs.num_envs
        self.observation_space = envs.single_observation_space
        self.action_space = envs.single_action_space
        self.num_objectives = num_objectives
        self._envs = envs
        self._finite = finite
        self._observations = observations
        self._rewards = RewardSteps(num_objectives)
        self._step, self._once = 0, False
        self._ended: NDArray[np.bool_] | None = None

    def reset(self, seed: int | list[int] | None = None, *, once: bool | NDArray[np.bool_] = False) -> NDArray[Any]:
        """Start an episode in each environment; a seed s gives environment i the seed s + i.

        Args:
            seed: a non-negative integer, a list of B of them, or None.
            once: do not step an environment whose episode has ended until the next reset, nor, where this is an array
                (B,), those that it does not mark. Vector environments of other packages are stepped, and only ``valid``
                marks those rows.

        Returns:
            Observations (B, ...).

        Raises:
            UserError: another seed.
        """
        envs: Any = self._envs  # their base class lacks the list of seeds
        how = {"once": once} if isinstance(envs, WorkerPool | VectorRewardSync) else {}
        seeds = None if seed is None else self._checked_seeds(seed)
        with user_code(self.id, "reset"):
            obs, _ = envs.reset(seed=seeds, **how)
        self._step, self._once = 0, once is not False
        self._ended = np.full(self.num_envs, self._once) & ~np.asarray(once)
        return self._checked(obs)

    def step(self, actions: ArrayLike) -> HostStep:
        """Step each environment by ``actions`` (B, ...).

        An environment whose episode ended starts the next one in this step (SAME_STEP) or in the next (NEXT_STEP).

        Raises:
            UserCodeError: the environment raised.
            UserError: called before ``reset``; not B actions of the action space; the environment returned a reward
                that is not R finite numbers or an observation of another shape than its space.
        """
        if self._ended is None:
            raise UserError(f"{self.id}: call reset before step")
        actions = self._checked_actions(actions)
        self._step += 1
        with user_code(self.id, f"step {self._step}"):
            following, raw, terminations, truncations, infos = self._envs.step(actions)
        obs = self._checked(following)
        where = f"{self.id}, step {self._step}"
        if not self._once:  # an evaluation tells nothing new
            self._rewards.add(raw)
        reward = checked_reward(raw, (self.num_envs, self.num_objectives), where, self._finite)
        terminated = np.array(terminations, np.bool_)
        truncated = np.array(truncations, np.bool_) & ~terminated
        lost = np.asarray(infos.get("lost", np.zeros(self.num_envs, np.bool_)))
        valid = ~self._ended & ~lost
        ended = terminated | truncated
        next_obs = obs
        if self._once:
            self._ended = self._ended | ended
        elif self._mode is AutoresetMode.NEXT_STEP:
            self._ended = ended
        if self._mode is AutoresetMode.SAME_STEP and ended.any():
            next_obs = obs.copy()
            next_obs[ended] = self._seen(np.stack([infos["final_obs"][i] for i in np.flatnonzero(ended)]))
        elif self._mode is AutoresetMode.DISABLED and ended.any():
            with user_code(self.id, f"the reset after step {self._step}"):
                started, _ = self._envs.reset(options={"reset_mask": ended.copy()})
            obs = self._checked(started)
        return HostStep(next_obs, reward, terminated, truncated, obs, valid, lost)

    def incidents(self) -> list[str]:
        """Return the failures of worker processes since the last call, and rewards that float32 loses, as text."""
        found = self._envs.incidents() if isinstance(self._envs, WorkerPool) else []
        return found + self._rewards.lost(self.id)

    def close(self) -> None:
        """End worker processes and close the environments. Repeated calls have no effect."""
        with user_code(self.id, "close"):
            self._envs.close()

    def _checked_seeds(self, seed: int | list[int]) -> list[int]:
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int | np.integer) else seed
        whole = isinstance(seeds, list) and all(isinstance(one, int | np.integer) and one >= 0 for one in seeds)
        if not whole or len(seeds) != self.num_envs:
            allowed = f"a whole number from 0 on, or a list of {self.num_envs}, one for each environment"
            raise UserError(f"{self.id}: seed {seed!r}; allowed: {allowed}")
        return [int(one) for one in seeds]

    def _checked_actions(self, raw: ArrayLike) -> NDArray[Any]:
        space, shape = self.action_space, (self.num_envs, *(self.action_space.shape or ()))
        try:
            actions = to_space(space, raw)
        except ValueError as error:  # rows of different lengths
            raise UserError(f"{self.id}: actions {raw!r} are no array; allowed: one of shape {shape}") from error
        if actions.shape != shape:
            raise UserError(
                f"{self.id}: actions of shape {actions.shape}; allowed: {shape} for {self.num_envs} environments"
            )
        if not all_inside(space, actions):
            raise UserError(f"{self.id}: actions {actions.tolist()} ({actions.dtype}); allowed: each in {space}")
        return actions

    def _checked(self, raw: Any) -> NDArray[Any]:
        obs = np.array(raw)  # a vector environment may reuse its buffer
        shape = (self.num_envs, *(self.observation_space.shape or ()))
        if obs.shape != shape:
            raise UserError(f"{self.id}, step {self._step}: observations of shape {obs.shape}, not {shape}")
        return self._seen(obs)

    def _seen(self, obs: NDArray[Any]) -> NDArray[Any]:
        return obs if self._observations is None else self._observations(obs)


def _checked_mode(envs: VectorEnv[Any, Any, Any], id: str) -> AutoresetMode:
    """Return the mode to step the environments by: DISABLED for those that :class:`HostVectorEnv` resets itself.

    Raises:
        UserError: see :class:`HostVectorEnv`.
    """
    mode, inner = envs.metadata.get("autoreset_mode"), envs.unwrapped
    if not isinstance(mode, AutoresetMode):
        names = ", ".join(f"AutoresetMode.{known.name}" for known in AutoresetMode)
        raise UserError(f"{id}: vector environment with auto-reset mode {mode} in its metadata; allowed: {names}")
    if isinstance(inner, SyncVectorEnv) and np.ndim(inner._rewards) == 1:
        raise UserError(
            f"{id}: gymnasium.vector.SyncVectorEnv keeps scalar rewards; allowed:"
            " morl.make(id, 'host').make_vector(n) or mo_gymnasium.wrappers.vector.MOSyncVectorEnv"
        )
    scalar_at_resets = type(inner).step_wait is AsyncVectorEnv.step_wait if isinstance(inner, AsyncVectorEnv) else False
    if mode is AutoresetMode.NEXT_STEP and scalar_at_resets:
        if not getattr(inner, "shared_memory", True):  # then its workers would reset once more
            allowed = "AutoresetMode.SAME_STEP or DISABLED, or shared_memory=True"
            raise UserError(f"{id}: AsyncVectorEnv in mode NEXT_STEP without shared memory; allowed: {allowed}")
        return AutoresetMode.DISABLED
    return mode
