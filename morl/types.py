"""What travels between environments and agents: ``T`` time, ``B`` environments, ``R`` objectives, ``P`` policies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from gymnasium import Space
from numpy.typing import NDArray

PyTree = Any
Metrics = dict[str, jax.Array]
Features = Callable[[jax.Array], jax.Array]


class Evaluation(NamedTuple):
    """Vector returns of N policies over E episodes.

    Attributes:
        discounted: (N, E, R); the first reward is undiscounted.
        undiscounted: (N, E, R).
        length: (N, E) int32 steps.
        objects: (N, E) what each episode has built, as text, where it is that object that counts and not the mean.
    """

    discounted: jax.Array
    undiscounted: jax.Array
    length: jax.Array
    objects: NDArray[np.str_] | None = None


class Transition(NamedTuple):
    """What agents learn from; no field crosses the end of an episode.

    Attributes:
        obs: (T, B, ...) observation acted on.
        action: (T, B, ...) action taken.
        reward: (T, B, R) vector reward.
        next_obs: (T, B, ...) successor before any reset.
        terminated: (T, B) bool, the episode ended by itself: nothing follows, do not bootstrap.
        truncated: (T, B) bool, the episode was cut off: bootstrap from ``next_obs``.
        valid: (T, B) bool, False where the step was only a host environment's reset and must not be learnt from.
    """

    obs: jax.Array
    action: jax.Array
    reward: jax.Array
    next_obs: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    valid: jax.Array


@dataclass(frozen=True)
class Task:
    """What an agent is made for.

    Attributes:
        observation_space, action_space: Gymnasium spaces of one environment.
        num_objectives: R.
        gamma: discount at which the front is reported.
        steps: environment steps one seed may use, over all its policies.
        max_episode_steps: after which the environment cuts an episode off, if it does.
        action_mask: the environment's, where not every action is allowed always (:mod:`morl.envs.base`).
        action_features: the environment's, where its observations have a part for each action.
        constructive: the environment itself, where it can be walked backwards too (:mod:`morl.envs.constructive.base`).
    """

    observation_space: Space[Any]
    action_space: Space[Any]
    num_objectives: int
    gamma: float
    steps: int
    max_episode_steps: int | None = None
    action_mask: Features | None = None
    action_features: Features | None = None
    constructive: Any = None


class Sums(NamedTuple):
    """What P policies report of their updates, added up in float32 from update to update.

    However the updates are cut into calls, the sums are the same to the bit.

    Attributes:
        number: (P,) updates that were added up.
        metrics: (P,) each.
    """

    number: jax.Array
    metrics: Metrics


class Actor(Protocol):
    """One learner as far as its policy goes.

    Attributes:
        num_envs: environments that feed one learner.
        rollout_steps: steps of each that make one update.
    """

    @property
    def num_envs(self) -> int: ...
    @property
    def rollout_steps(self) -> int: ...

    def init(self, key: jax.Array, preference: jax.Array) -> PyTree:
        """A fresh learner for one preference (R,), or for one of each of its environments (B, R).

        Not called under ``jit`` or ``vmap``; its leaves may be NumPy's.
        """
        ...

    def policy(self, state: PyTree) -> PyTree:
        """What is archived of a learner: what acting needs, and what going on from it needs."""
        ...

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Actions (B, ...), as the agent records them, of a policy for observations (B, ...).

        The preference is (R,), or (B, R) where the policy takes any.
        """
        ...

    def to_env(self, action: jax.Array) -> jax.Array:
        """The same actions as the environment takes them."""
        ...


class Learner(Actor, Protocol):
    """One learner. The core maps it over policies and seeds, and feeds it from JAX or host environments alike."""

    def update(self, state: PyTree, batch: Transition, key: jax.Array) -> tuple[PyTree, dict[str, jax.Array]]:
        """Learn from one rollout (T, B); scalar metrics. Never sees the environment."""
        ...

    def restarted(self, state: PyTree) -> PyTree:
        """A learner whose environments have all started anew: without what it keeps of episodes under way."""
        ...

    def learnt(self, state: PyTree) -> PyTree:
        """What gradients move. Where it is not finite after an update, the update is taken back."""
        ...

    def undone(self, before: PyTree, after: PyTree) -> PyTree:
        """A learner as ``before`` an update; what it keeps of episodes under way as ``after`` it, as they went on.

        So may be what the update cannot spoil, to spare its copy.
        """
        ...


class Trainer(Protocol):
    """Trains and evaluates P policies on one kind of environment. Its state is its own."""

    def init(
        self,
        keys: Sequence[jax.Array],
        learners: Sequence[PyTree] | None = None,
        preferences: NDArray[Any] | None = None,
    ) -> Any:
        """Learners and environments at the start, from one key for each of P policies.

        Args:
            keys: P.
            learners: P to go on from; by default fresh ones.
            preferences: (P, R) or (P, B, R) they act for; by default those the trainer was made with.
        """
        ...

    def run(self, state: Any, updates: int, sums: Sums | None = None) -> tuple[Any, Sums]:
        """``updates`` updates of every policy, added to ``sums``. ``state`` must not be used again."""
        ...

    def saved(self, state: Any) -> PyTree:
        """All that going on from ``state`` needs, as NumPy arrays of the P policies, whatever runs them."""
        ...

    def restored(self, fresh: Any, saved: PyTree) -> Any:
        """The state that was saved.

        Exactly that where environments are pure functions. Those that step in Python cannot be saved: they start anew,
        at episodes that no other start has seen.

        Args:
            fresh: what ``init`` gives, for its shapes; not to be used again.
            saved: of the shapes of ``saved(fresh)``.
        """
        ...

    def policies(self, state: Any) -> PyTree:
        """The P policies, stacked, on the host."""
        ...

    def faults(self, state: Any) -> Any:
        """Return :class:`morl.training.nonfinite.Faults` of the P policies since ``init``, as NumPy arrays."""
        ...

    def evaluate(self, policies: PyTree, preferences: NDArray[Any], keys: jax.Array, episodes: int) -> Evaluation:
        """``episodes`` greedy episodes of N stacked policies, NumPy arrays.

        Of policies of one preference each, (N, R), it is (N, E, ...); of policies that take any, (N, M, R), it is
        (N, M, E, ...). The keys are N, and all M meet the same episodes.
        """
        ...

    def incidents(self) -> list[str]:
        """What happened to environments since this was last asked, in words; training went on."""
        ...

    def close(self) -> None:
        """Let go of environments."""
        ...


class Extension(Protocol):
    """A second stage, in rounds that start from policies of the archive, with as many of the agent's own learners.

    Attributes:
        rounds: how often.
        updates: of each learner in a round.
    """

    @property
    def rounds(self) -> int: ...
    @property
    def updates(self) -> int: ...

    def preferences(self, index: int) -> NDArray[np.float64]:
        """(K, R), one for each learner of a seed in the round of this index."""
        ...

    def begin(
        self,
        index: int,
        returns: NDArray[np.float64],
        policies: PyTree,
        reference_point: NDArray[np.float64],
        taken: set[bytes],
    ) -> list[PyTree]:
        """K learners at the start of a round.

        Args:
            index: of the round.
            returns: (n, R) of the policies in the archive of a seed.
            policies: stacked.
            reference_point: (R,).
            taken: empty before the first round; the extension's own notes on what it has started from.
        """
        ...


class Agent(Protocol):
    """A way to find a front, made of learners.

    Attributes:
        learner: the one all its policies share the code of; a :class:`Learner`, or a
            :class:`morl.constructive.backend.Sampler`.
        preferences: (K, R), one for each learner of a seed; or (K, B, R), one for each environment of a learner.
        updates: of each learner, within the steps of the task.
        extension: what comes after that, if anything.
        num_preferences: 0 where each policy is for its own preference and the front is made of policies. Else K is 1,
            that policy takes any preference, and the front is what it does for so many.
        notes: what is worth knowing before it begins, such as the memory it takes.
    """

    @property
    def learner(self) -> Actor: ...
    @property
    def preferences(self) -> NDArray[np.float64]: ...
    @property
    def updates(self) -> int: ...
    @property
    def extension(self) -> Extension | None: ...
    @property
    def num_preferences(self) -> int: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
