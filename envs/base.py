"""Contract of functional environments.

An environment author writes two pure functions, ``reset`` and ``step``, over a state and a params pytree. Time limits,
auto-reset and episode statistics are layers of the core (:mod:`morl.training.rollout`), so that no environment repeats
them.

Shapes, used everywhere in the library: ``T`` time, ``B`` batch of environments, ``R`` objectives, ``P`` policies.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import jax
import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from morl.registry import Objective as Objective

State = TypeVar("State")
Params = TypeVar("Params")


class Environment(Protocol[State, Params]):
    """Vector-reward environment of pure functions, safe under ``jit``, ``vmap`` and ``scan``.

    Attributes:
        id: the name it is registered by.
        observation_space, action_space: Gymnasium spaces of one environment.
        reward_space: ``Box`` of shape ``(R,)``.
        objectives: name and unit of each of the R rewards, in order; all are maximised.
        max_episode_steps: steps after which the core truncates an episode; ``None`` for no limit.
        reference_point: ``(R,)`` reference point of the hypervolume, dominated by every sensible policy; ``None``
            leaves it to each training (``--reference-point``).
        default_params: params pytree for ``reset`` and ``step``.

    Optional members:

    - ``true_front(gamma) -> (n, R)``: the non-dominated expected vector returns of deterministic policies from the
      start state (first reward undiscounted).
    - ``true_coverage_set(gamma) -> (n, R)``: those of these returns that are best for some preference.
    - ``render(state, params) -> (H, W, 3) uint8`` and ``render_fps``, pictures a second.
    - ``info(state, params)``: the info of ``step``, which the Gymnasium adapter also gives after a reset.
    - ``action_mask(obs) -> (..., n) int8``: allowed actions of a ``Discrete`` space for observations (..., *shape), as
      arrays of JAX or NumPy. Through Gymnasium the observation is then a ``Dict`` of the array, under
      ``observation_key``, and ``action_mask``.
    - ``overflow(state) -> () int32``: what the episode so far had no room for in arrays of fixed sizes, so that its
      rewards are wrong, and ``overflow_message(number)``, a line that says what to change. Whoever runs the environment
      stops with it (:mod:`morl.envs.overflow`).
    """

    @property
    def id(self) -> str: ...
    @property
    def observation_space(self) -> Space[Any]: ...
    @property
    def action_space(self) -> Space[Any]: ...
    @property
    def reward_space(self) -> spaces.Box: ...
    @property
    def objectives(self) -> tuple[Objective, ...]: ...
    @property
    def max_episode_steps(self) -> int | None: ...
    @property
    def reference_point(self) -> NDArray[np.float64] | None: ...
    @property
    def default_params(self) -> Params: ...

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        """Start an episode; return ``(state, observation)``."""
        ...

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        """Advance one step; return ``(state, observation, reward[R], terminated, truncated, info)``.

        The function never resets. ``truncated`` is for the environment's own reasons; the core adds the time limit.
        The result for an action outside ``action_space`` is undefined; the Gymnasium adapter refuses such an action. It
        takes the first allowed action in place of one that ``action_mask`` forbids. Rewards are converted to float32,
        flags to bool (:mod:`morl.envs.widths`).
        """
        ...
