"""The contract of a constructive task: an object is built step by step, and only what is finished has a reward.

It is an :class:`~morl.envs.base.Environment` that can also be walked backwards, for GFlowNets (Bengio et al., 2023,
JMLR 24(210)): steps are its edges, and the finished objects x are where they end. All of it is safe under ``jit``,
``vmap`` and ``scan``.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import numpy as np
from numpy.typing import NDArray

from morl.envs.base import Environment

State = TypeVar("State")
Params = TypeVar("Params")


class Outcomes(NamedTuple):
    """All finished objects, in classes of equal objectives.

    Attributes:
        values: (n, R) float64 objectives of a class, from 0 to about 1.
        log_count: (n,) float64, log of the number of objects in it.
    """

    values: NDArray[np.float64]
    log_count: NDArray[np.float64]


class Constructive(Environment[State, Params], Protocol[State, Params]):
    """A task whose episodes build one object each.

    Beside the contract of every environment:

    - ``step`` draws nothing from its key. The reward is 0 until the step that finishes the object, which gives its R
      objectives, each from 0 to about 1; there ``terminated`` is set.
    - A finished state stays: ``step`` changes nothing, gives no reward and says terminated again. Trajectories of
      different lengths can so be scanned side by side.
    - The steps that lead into a state are numbered too, as backward actions. The start has none, and a finished state
      only those of steps that really finish it.

    It may say what its objects are called: ``text(obs) -> str`` of one observation of a finished object, else its
    numbers. By such texts it may know them apart: ``distances(some, others) -> (n, m)``, else Levenshtein's; and draw
    one: ``picture(text) -> (H, W, 3) uint8``, else it is its ``render``.

    Attributes:
        horizon: most steps that an object takes.
        num_backward_actions: K, most steps that lead into a state.
        observation_key: name of the observation beside ``action_mask`` (:mod:`morl.envs.base`).

    Where the objectives are computed on the host (:mod:`morl.envs.constructive.oracle`) it also has ``values(states,
    params) -> (B, R)``, the objectives of finished states (B, ...), all in one call; ``step`` still gives the same
    reward, for whoever reads it. Its ``oracle`` is asked for objects directly, and counts. Any task may have
    ``text(obs)``, the object of an observation in a word; and of such texts ``distances(some, others) -> (n, m)``,
    which is Levenshtein's otherwise, and ``picture(text) -> (H, W, 3) uint8``.
    """

    @property
    def horizon(self) -> int: ...
    @property
    def num_backward_actions(self) -> int: ...
    @property
    def observation_key(self) -> str: ...

    def action_mask(self, obs: Any) -> Any:
        """(..., A) int8, 1 for actions that are allowed, of observations (..., *shape) of JAX or NumPy; never empty."""
        ...

    def backward_mask(self, state: State) -> jax.Array:
        """(K,) int8, 1 for backward actions that lead to a parent; none at the start."""
        ...

    def backward_step(
        self, state: State, backward_action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array]:
        """Undo a step: ``(parent, the parent's observation, action)``, the action that leads back to the state.

        At the start nothing changes, and the action means nothing. So it is with a backward action that is not allowed.
        """
        ...


class Enumerable(Constructive[State, Params], Protocol[State, Params]):
    """A constructive task whose objects can be counted, so that the target p(x) ∝ R(x) of any reward is known exactly.

    ``true_front`` follows from the same table.
    """

    def outcomes(self) -> Outcomes:
        """All objects by their objectives."""
        ...


class Tabular(Enumerable[State, Params], Protocol[State, Params]):
    """An enumerable task small enough for the distribution over objects that a policy gives, too.

    There is one object in each class of ``outcomes``.
    """

    def finished_states(self) -> State:
        """The states (n, ...) of the objects, in the order of ``outcomes``."""
        ...

    def decision_points(self) -> NDArray[Any]:
        """Observations (N, *shape) of all states that are not finished."""
        ...

    def distribution(self, policy: jax.Array) -> jax.Array:
        """Probabilities (n,) of the objects, of a policy's (N, A) probabilities of actions at the decision points."""
        ...
