"""Playback of a policy of a finished run: its episodes step by step, and pictures of them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
from numpy.typing import NDArray

from morl.errors import UserCodeError, UserError, blame, closing
from morl.loading import front_of_seed, fronts_of, setup_of
from morl.ops.preferences import check_preference
from morl.runs.front import Policy
from morl.training.evaluation import MAX_STEPS
from morl.training.setup import Setup
from morl.words import brief_repr

DEFAULT_FPS = 30  # Gymnasium's default
OnFrame = Callable[[NDArray[np.uint8]], None]


@dataclass(frozen=True)
class Episode:
    """Episode of T steps.

    Attributes:
        observations: (T + 1, ...) the last one is the final observation.
        actions: (T, ...).
        rewards: (T, R) float32.
        terminated, truncated: how it ended; neither where ``max_steps`` cut it short.
        gamma: discount of :attr:`discounted`, the run's.
    """

    observations: NDArray[Any]
    actions: NDArray[Any]
    rewards: NDArray[np.float32]
    terminated: bool
    truncated: bool
    gamma: float
    __repr__ = brief_repr

    @property
    def returns(self) -> NDArray[np.float64]:
        """Undiscounted vector return (R,)."""
        total: NDArray[np.float64] = self.rewards.sum(axis=0, dtype=np.float64)
        return total

    @property
    def discounted(self) -> NDArray[np.float64]:
        """Discounted vector return (R,); the first reward is not discounted."""
        weights = self.gamma ** np.arange(len(self.rewards), dtype=np.float64)
        total: NDArray[np.float64] = weights @ self.rewards.astype(np.float64)
        return total


@dataclass(frozen=True)
class Playback:
    """Policy of a run with the environment it was trained on.

    Attributes:
        setup: the run's agent and environment.
        policy: the policy.
        fps: pictures a second at which the environment looks natural.
    """

    setup: Setup
    policy: Policy
    __repr__ = brief_repr

    @property
    def fps(self) -> float:
        env = self.setup.env
        own = getattr(env, "render_fps", None) if self.setup.backend == "jax" else env.metadata.get("render_fps")
        return float(own or DEFAULT_FPS)

    def check_picture(self) -> None:
        """Check that the environment can be drawn.

        Raises:
            UserError: it has no ``rgb_array`` rendering.
        """
        env = self.setup.env
        if self.setup.backend == "host":
            modes = env.metadata["render_modes"]
        else:
            modes = ["rgb_array"] if hasattr(env, "render") else []
        if "rgb_array" not in modes:
            allowed = ", ".join(modes) or "none"
            raise UserError(f"{env.id} draws no pictures: its render modes are {allowed}, not rgb_array")

    def episodes(
        self, number: int = 1, *, seed: int = 0, max_steps: int | None = None, on_frame: OnFrame | None = None
    ) -> Iterator[Episode]:
        """Run greedy episodes one after another; a sampler draws its actions instead.

        Args:
            number: of episodes; episode i starts from ``seed + i``.
            seed: the same one gives the same episodes.
            max_steps: cuts each short; by default only the environment's own limit does.
            on_frame: called with each picture, (H, W, 3) uint8: of the start, and after every step.

        Raises:
            UserError: a number out of range, or pictures of an environment that has none.
        """
        for name, value in (("number", number), ("max_steps", max_steps)):
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, not {value}")
        if on_frame:
            self.check_picture()
        env = self._make("rgb_array" if on_frame else None)
        with closing(env):
            for i in range(number):
                yield self._episode(env, seed + i, max_steps or MAX_STEPS, on_frame)

    def _make(self, render_mode: str | None) -> gymnasium.Env[Any, Any]:
        env = self.setup.env
        if self.setup.backend == "host":
            single: gymnasium.Env[Any, Any] = env.make_single(render_mode)
            return single
        from morl.envs.gymnasium.to_gymnasium import GymnasiumEnv

        made = GymnasiumEnv(env, render_mode)
        limit = env.max_episode_steps
        return made if limit is None else gymnasium.wrappers.TimeLimit(made, limit)

    def _episode(self, env: gymnasium.Env[Any, Any], seed: int, max_steps: int, on_frame: OnFrame | None) -> Episode:
        obs = self._array(env.reset(seed=seed)[0])
        observations: list[Any] = [obs]
        actions: list[Any] = []
        rewards: list[Any] = []
        terminated = truncated = False
        self._show(env, on_frame)
        while not (terminated or truncated) and len(actions) < max_steps:
            key = jax.random.fold_in(jax.random.key(seed), len(actions)) if self.setup.has_objects else None
            action = self.policy(obs, key=key)
            presented, reward, terminated, truncated, _ = env.step(action)
            obs = self._array(presented)
            observations.append(obs)
            actions.append(action)
            rewards.append(np.asarray(reward, np.float32))
            self._show(env, on_frame)
        return Episode(
            np.stack(observations),
            np.stack(actions),
            np.stack(rewards),
            terminated,
            truncated and not terminated,
            self.setup.gamma,
        )

    def _array(self, obs: Any) -> Any:
        """Return the array the policy was trained on; Gymnasium's observation has the mask of actions beside it."""
        return obs[self.setup.env.observation_key] if isinstance(obs, dict) else obs

    def _show(self, env: gymnasium.Env[Any, Any], on_frame: OnFrame | None) -> None:
        if on_frame is None:
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # GLFW warns before it fails
                picture: Any = env.render()
        except (Exception, SystemExit) as error:  # OpenGL, SDL and others raise errors of any kind
            hint = "; set MUJOCO_GL=egl where there is no screen" if "mujoco" in sys.modules else ""
            why = str(error) if isinstance(error, UserCodeError) else blame(error)
            raise UserCodeError(f"{self.setup.env.id} cannot be drawn on this machine: {why}{hint}") from error
        on_frame(np.asarray(picture, np.uint8))


def play(
    run: str | Path,
    preference: Any = None,
    *,
    policy: int | None = None,
    training_seed: int | None = None,
    env: Any = None,
) -> Playback:
    """Return the policy of a finished run that fits a preference, ready to be played.

    >>> import morl
    >>> frames = []  # doctest: +SKIP
    >>> episodes = list(morl.play("runs/x", [0.7, 0.3]).episodes(on_frame=frames.append))  # doctest: +SKIP

    Args:
        run: run directory.
        preference: (R,) weights on the simplex; the policy with the largest weighted return is taken.
        policy: a policy by its number in ``front.csv`` instead.
        training_seed: whose front; by default that of the first seed.
        env: the environment, as for :func:`morl.load`.

    Raises:
        UserError: not a finished run, no such seed or policy, a preference off the simplex, both or neither given.
    """
    if (preference is None) == (policy is None):
        raise UserError("give a preference or the number of a policy, one of the two")
    path = Path(run)
    setup, settings = setup_of(path, env=env)
    setup.require("rollout")
    if preference is not None:  # before anything is compiled
        check_preference(preference, len(setup.objectives), setup.objectives)
    front = front_of_seed(fronts_of(path, setup, settings), training_seed)
    return Playback(setup, front.policy(preference) if policy is None else front.at(policy))
