"""Contract of a constructive task: an object is built step by step, and only the finished object has a reward.

A constructive task is an :class:`~morl.envs.base.Environment` whose steps can be undone, for GFlowNets (Bengio et al.,
2023, JMLR 24(210)): states are the nodes of a graph, steps its edges, and finished objects x its terminal states. All
functions are safe under ``jit``, ``vmap`` and ``scan``.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import numpy as np
from numpy.typing import NDArray

from morl.envs.base import Environment

HIGHEST = 10.0  # objective that still counts as "from 0 to about 1"

State = TypeVar("State")
Params = TypeVar("Params")


class Outcomes(NamedTuple):
    """Classes of finished objects with equal objectives.

    Attributes:
        values: (n, R) float64 objectives of each class, from 0 to about 1.
        log_count: (n,) float64, log of the number of objects in each class.
    """

    values: NDArray[np.float64]
    log_count: NDArray[np.float64]


class Constructive(Environment[State, Params], Protocol[State, Params]):
    """Task whose episodes build one object each.

    In addition to the contract of every environment:

    - ``step`` does not use its key. The reward is 0 until the step that finishes the object, which gives its R
      objectives, each from 0 to about 1, and sets ``terminated``.
    - A finished state is absorbing: ``step`` leaves it as it is, gives reward 0 and sets ``terminated`` again, so that
      trajectories of different lengths can be scanned together.
    - The steps that lead into a state are numbered as backward actions. The start has none; a finished state has only
      those of steps that finish it.

    Optional methods: ``text(obs) -> str`` names the finished object of an observation (by default, its numbers);
    ``distances(some, others) -> (n, m)`` compares objects by their texts (by default, Levenshtein's distance);
    ``picture(text) -> (H, W, 3) uint8`` draws an object (by default, ``render`` of its state).

    Attributes:
        horizon: largest number of steps that an object takes.
        num_backward_actions: K, largest number of steps that lead into a state.
        observation_key: name of the observation beside ``action_mask`` (:mod:`morl.envs.base`).

    A task whose objectives are computed on the host (:mod:`morl.envs.constructive.oracle`) also has ``values(states,
    params) -> (B, R)``, the objectives of finished states (B, ...) in one call of the host; ``step`` gives the same
    rewards. Its ``oracle`` computes objectives of objects directly, and counts them.
    """

    @property
    def horizon(self) -> int: ...
    @property
    def num_backward_actions(self) -> int: ...
    @property
    def observation_key(self) -> str: ...

    def action_mask(self, obs: Any) -> Any:
        """Return (..., A) int8, 1 for allowed actions, for observations (..., *shape) of JAX or NumPy.

        At least one action is always allowed.
        """
        ...

    def backward_mask(self, state: State) -> jax.Array:
        """Return (K,) int8, 1 for backward actions that lead to a parent; all 0 at the start."""
        ...

    def backward_step(
        self, state: State, backward_action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array]:
        """Undo a step.

        Returns:
            The parent state, its observation, and the action that leads from it to ``state``. At the start, and for a
            backward action that is not allowed, the parent is ``state`` itself and the action is undefined.
        """
        ...


class Enumerable(Constructive[State, Params], Protocol[State, Params]):
    """Constructive task whose objects can be counted, so that the target p(x) ∝ R(x) of any reward is known exactly.

    ``true_front`` follows from the same counts.
    """

    def outcomes(self) -> Outcomes:
        """Return all objects, counted by their objectives."""
        ...


class Tabular(Enumerable[State, Params], Protocol[State, Params]):
    """Enumerable task that is small enough to compute a policy's distribution over objects.

    Each class of ``outcomes`` holds one object.
    """

    def finished_states(self) -> State:
        """Return the states (n, ...) of the objects, in the order of ``outcomes``."""
        ...

    def decision_points(self) -> NDArray[Any]:
        """Return the observations (N, *shape) of all unfinished states."""
        ...

    def distribution(self, policy: jax.Array) -> jax.Array:
        """Return the probabilities (n,) of the objects under a policy.

        Args:
            policy: (N, A) probabilities of the actions at the decision points.
        """
        ...


def scale_fault(env: Any) -> str | None:
    """Return what is wrong with the scale of a task's objectives by its ``reward_space``, or None.

    Samplers draw in proportion to powers of objectives from 0 to about 1: below 0 all are alike to them.
    """
    low, high = env.reward_space.low, env.reward_space.high
    for i, objective in enumerate(env.objectives):
        if low[i] < 0:
            return (
                f"has {objective.name} from {low[i]:g} on, and objectives must be from 0 to about 1; add what makes "
                "the lowest 0, and divide by the range"
            )
        if np.isfinite(high[i]) and high[i] > HIGHEST:
            return (
                f"has {objective.name} up to {high[i]:g}, and objectives must be from 0 to about 1; divide by the range"
            )
    return None
