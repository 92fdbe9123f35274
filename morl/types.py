"""Contracts of environments, agents and core: ``T`` time, ``B`` environments, ``R`` objectives, ``P`` policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from gymnasium import Space
from numpy.typing import NDArray

if TYPE_CHECKING:
    from morl.training.nonfinite import NonFinite

PyTree = Any
Metrics = dict[str, jax.Array]
Features = Callable[[jax.Array], jax.Array]


class Evaluation(NamedTuple):
    """Vector returns of N policies over E episodes.

    Attributes:
        discounted: (N, E, R); the first reward is undiscounted.
        undiscounted: (N, E, R).
        length: (N, E) int32 steps.
        objects: (N, E) text of the object each episode has built, for samplers of objects.
        terminated: (N, E) bool, whether the environment ended the episode in its last step, where that was noted.
        overflow: (N, E) int32 objects that the environment had no room for, where it counts them; with any, returns are
            wrong (:mod:`morl.envs.overflow`).
    """

    discounted: jax.Array
    undiscounted: jax.Array
    length: jax.Array
    objects: NDArray[np.str_] | None = None
    terminated: jax.Array | None = None
    overflow: jax.Array | None = None


class Recorded(NamedTuple):
    """Recorded episodes of N actors, E each, of up to T steps; what is after an episode's end has no meaning.

    Attributes:
        discounted: (N, E, R) float32 returns.
        length: (N, E) int32 steps.
        ended: (N, E) bool, by itself or at the time limit; False where it was given up.
        obs, action: (N, E, T, ...).
        overflow: (N, E) int32, as of :class:`Evaluation`.
    """

    discounted: jax.Array
    length: jax.Array
    ended: jax.Array
    obs: jax.Array
    action: jax.Array
    overflow: jax.Array | None = None


class Transition(NamedTuple):
    """Experience that agents learn from; no field crosses the end of an episode.

    Attributes:
        obs: (T, B, ...) observation acted on.
        action: (T, B, ...) action taken, as the agent records it.
        reward: (T, B, R) vector reward.
        next_obs: (T, B, ...) successor before any reset.
        terminated: (T, B) bool, the episode ended by itself: nothing follows, do not bootstrap.
        truncated: (T, B) bool, the episode was cut off: bootstrap from ``next_obs``.
        valid: (T, B) bool, False where the step was only a host environment's reset and must not be learnt from.
        preference: (T, B, R) preference the action was taken for.
    """

    obs: jax.Array
    action: jax.Array
    reward: jax.Array
    next_obs: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    valid: jax.Array
    preference: jax.Array


@dataclass(frozen=True)
class Task:
    """Description of the environment and budget that an agent is made for.

    Attributes:
        observation_space, action_space: Gymnasium spaces of one environment.
        num_objectives: R.
        gamma: discount at which the front is reported.
        steps: environment steps one seed may use, over all its policies.
        max_episode_steps: time limit of an episode in steps, if any.
        action_mask: function from observations to allowed actions, if some are forbidden (:mod:`morl.envs.base`).
        action_features: function from observations to features of each action, if the environment has them.
        action_rewards: function from observations to the rewards (..., A, R) of each action now, if they tell them.
        constructive: the environment itself, if it can be walked backwards (:mod:`morl.envs.constructive.base`).
    """

    observation_space: Space[Any]
    action_space: Space[Any]
    num_objectives: int
    gamma: float
    steps: int
    max_episode_steps: int | None = None
    action_mask: Features | None = None
    action_features: Features | None = None
    action_rewards: Features | None = None
    constructive: Any = None


class MetricSums(NamedTuple):
    """Metrics of the updates of P policies, added up in float32 from update to update.

    The sums are the same to the bit however the updates are cut into calls.

    Attributes:
        number: (P,) updates that were added up.
        metrics: (P,) each, by name.
    """

    number: jax.Array
    metrics: Metrics


class LearnerState(NamedTuple):
    """State of one learner, in the parts that the core treats differently.

    Attributes:
        params: trainable parameters. An update that leaves one of them non-finite is reverted.
        learning: everything else that such an update may spoil: optimiser moments, running statistics, target networks,
            counters. It is reverted together with ``params``.
        episode: (B, ...) arrays about the episodes under way. All zeros at the start; kept when an update is reverted,
            as the environments have gone on; set to zeros when the environments restart.
        replay: stored transitions. All are finite, so a reverted update keeps them; a copy would cost more than the
            update.
    """

    params: PyTree
    learning: PyTree
    episode: PyTree = ()
    replay: PyTree = ()


class Actor(Protocol):
    """Learner as far as acting goes.

    Attributes:
        num_envs: environments that feed one learner.
        rollout_steps: steps of each environment in one update.
    """

    @property
    def num_envs(self) -> int: ...
    @property
    def rollout_steps(self) -> int: ...

    def init(self, key: jax.Array) -> LearnerState:
        """Return a fresh learner. Not called under ``jit`` or ``vmap``; its leaves may be NumPy's."""
        ...

    def policy(self, state: LearnerState) -> PyTree:
        """Extract the parameters that acting, and going on from this learner, need: what an archive stores."""
        ...

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Return actions (B, ...), as the agent records them, for observations (B, ...).

        The preference is (R,), or (B, R) where each environment has its own.
        """
        ...

    def to_env(self, action: jax.Array) -> jax.Array:
        """Convert recorded actions to what the environment takes."""
        ...


class Learner(Actor, Protocol):
    """Learner of one policy. The core maps it over policies and seeds, and feeds it from any kind of environment.

    Its five methods are ``init``, ``policy``, ``act``, ``to_env`` and ``update``. The core reverts non-finite updates
    and resets the episode state, by the parts of :class:`LearnerState`.
    """

    def update(self, state: LearnerState, batch: Transition, key: jax.Array) -> tuple[LearnerState, Metrics]:
        """Learn from one rollout (T, B); return the new state and scalar metrics. Never sees the environment."""
        ...


@runtime_checkable
class SharesBatches(Protocol):
    """Learner whose updates can learn from each half of their batches on a device of its own."""

    def with_batch_axis(self, axis: str) -> Learner:
        """Return the learner for two devices along a mapped axis of this name, which must not differ otherwise."""
        ...


class Trainer(Protocol):
    """Back-end that trains and evaluates P policies on one kind of environment. Its state is its own."""

    def init(
        self,
        keys: Sequence[jax.Array],
        learners: Sequence[PyTree] | None = None,
        preferences: NDArray[Any] | None = None,
    ) -> Any:
        """Return learners and environments at the start.

        Args:
            keys: one for each of P policies.
            learners: P states to go on from; by default fresh ones.
            preferences: (P, R) or (P, B, R) they act for; by default those the trainer was made with.
        """
        ...

    def run(self, state: Any, updates: int, sums: MetricSums | None = None) -> tuple[Any, MetricSums]:
        """Run ``updates`` updates of every policy and add their metrics to ``sums``. ``state`` must not be reused."""
        ...

    def steps(self, updates: int) -> int:
        """Return the environment steps of one seed, over all its policies, after ``updates`` updates of a stage."""
        ...

    def with_preferences(self, state: Any, preferences: NDArray[Any]) -> Any:
        """Return the state with other preferences, (P, R) or (P, B, R) as before, for the updates to come."""
        ...

    def for_learner(self, learner: Any) -> Trainer:
        """Return a trainer of the same policies and environments that updates them by another learner."""
        ...

    def saved(self, state: Any) -> PyTree:
        """Return all that going on from ``state`` needs, as NumPy arrays of the P policies, whatever runs them."""
        ...

    def restored(self, fresh: Any, saved: PyTree) -> Any:
        """Return the state that was saved.

        Exactly that state for environments that are pure functions. Environments that step in Python cannot be saved:
        they restart, at episodes that no other start has seen.

        Args:
            fresh: result of ``init``, for its shapes; not to be used again.
            saved: arrays of the shapes of ``saved(fresh)``.
        """
        ...

    def policies(self, state: Any) -> PyTree:
        """Return the P policies, stacked, on the host."""
        ...

    def nonfinite(self, state: Any) -> NonFinite:
        """Return the non-finite updates of the P policies since ``init``, as NumPy arrays."""
        ...

    def evaluate(self, policies: PyTree, preferences: NDArray[Any], keys: jax.Array, episodes: int) -> Evaluation:
        """Evaluate N stacked policies greedily for ``episodes`` episodes; return NumPy arrays.

        Policies of one preference each take (N, R) and give (N, E, ...); policies that take any preference take
        (N, M, R) and give (N, M, E, ...). The keys are N, and all M meet the same episodes.
        """
        ...

    def incidents(self) -> list[str]:
        """Return messages about what happened to environments since the last call; training went on."""
        ...

    def close(self) -> None:
        """Close the environments."""
        ...


class Extension(Protocol):
    """Second stage, in rounds that start from policies of the archive, with as many learners as the first stage.

    Attributes:
        learner: the learner of these rounds; its policies are of the structure of the first stage's.
        extra_metrics: names of metrics that its updates report beyond those of the first stage.
        rounds: number of rounds.
        updates: updates of each learner in a round.
    """

    @property
    def learner(self) -> Learner: ...
    @property
    def extra_metrics(self) -> tuple[str, ...]: ...
    @property
    def rounds(self) -> int: ...
    @property
    def updates(self) -> int: ...

    def preferences(self, index: int) -> NDArray[np.float64]:
        """Return (K, R), one preference for each learner of a seed in the round of this index."""
        ...

    def begin(
        self,
        index: int,
        returns: NDArray[np.float64],
        policies: PyTree,
        reference_point: NDArray[np.float64],
        taken: set[bytes],
    ) -> list[LearnerState]:
        """Return K learners at the start of a round.

        Args:
            index: number of the round.
            returns: (n, R) of the policies in the archive of a seed.
            policies: these policies, stacked.
            reference_point: (R,).
            taken: the extension's own notes on what it has started from; empty before the first round.
        """
        ...


class Guide(Protocol):
    """Schedule of a training that sets the step factor of each learner by what the evaluations of all have shown.

    The learner has a method ``with_step_factor``, see :meth:`morl.agents.ppo.algorithm.PPO.with_step_factor`.
    """

    def saved(self) -> PyTree:
        """Return all that going on needs, as NumPy arrays of shapes that never change."""
        ...

    def restore(self, saved: PyTree) -> None:
        """Set what was saved."""
        ...

    def factors(self, evaluated: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the factors of all seeds' learners until the next evaluation.

        Args:
            evaluated: (S, N, R) returns of what was evaluated for each seed, in the order of the learners.
        """
        ...


class Recorder(Protocol):
    """Compiled function that runs and records episodes of N stacked actors, see :meth:`Simulator.recorder`.

    Attributes:
        bytes_each: bytes of the observations of one episode, as long as the time limit.
    """

    bytes_each: int

    def __call__(self, actors: PyTree, limits: Any, key: jax.Array) -> Recorded:
        """Run episodes of N stacked actors, given up after ``limits`` (N,) int32 steps, all with the same ``key``."""
        ...


class Simulator(Protocol):
    """Part of a back-end for agents that learn from single episodes; for environments in JAX."""

    def recorder(self, act: Callable[[PyTree, jax.Array, jax.Array], jax.Array], episodes: int) -> Recorder:
        """Return a function that records ``episodes`` episodes of each actor.

        Episode e has the same random numbers for all actors, and for any number of episodes.

        Args:
            act: actions (E, ...) of one actor for observations (E, ...) at a step ().
            episodes: E.
        """
        ...

    def jit(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a compiled function, as the back-end compiles its own."""
        ...


class Population(Protocol):
    """Archive of a seed during its variation.

    Attributes:
        spent: environment steps so far.
    """

    spent: int

    def advance(self) -> None:
        """Run one generation."""
        ...

    def front(self) -> Any:
        """Return the :class:`morl.ops.archive.Archive` of policies and preferences so far."""
        ...


class Variation(Protocol):
    """Last stage, without learners: single episodes of archived policies are changed, and the good ones learnt.

    Attributes:
        steps: environment steps of a seed, of all its episodes.
    """

    @property
    def steps(self) -> int: ...

    def size(self, policy: int, episode: int, capacity: int, num_seeds: int) -> int:
        """Return the bytes that the stage takes at its peak, about.

        Args:
            policy: bytes of one policy.
            episode: bytes of the observations of one episode, as long as the time limit.
            capacity: places of an archive.
            num_seeds: S archives.
        """
        ...

    def begin(
        self,
        simulator: Simulator,
        starts: Sequence[tuple[PyTree, NDArray[np.float64]]],
        keys: jax.Array,
        capacity: int,
        epsilon: float,
    ) -> Sequence[Population]:
        """Return a population for each of S seeds.

        Args:
            simulator: runs episodes.
            starts: stacked policies and their preferences (n, R), of each seed.
            keys: (S,).
            capacity: places of an archive.
            epsilon: as of :func:`morl.ops.archive.insert`.
        """
        ...


class WarmStart(Protocol):
    """First part of a training, in which archived policies of another run act and a learner imitates them.

    Attributes:
        run: directory of that run.
        updates: number of updates; the agent's own learner goes on from the state after them.
    """

    @property
    def run(self) -> Path: ...
    @property
    def updates(self) -> int: ...

    @property
    def learner_of(self) -> Callable[[Any], Learner]:
        """Function from a :class:`morl.agents.imitation.teacher.Teacher` to the learner of these updates.

        Its state and its metrics are of the structure of the agent's own learner's.
        """
        ...


class Agent(Protocol):
    """Method to find a front, made of learners. Subclass it to inherit the defaults of what an agent may leave out.

    Attributes:
        learner: shared by all its policies; a :class:`Learner`, or what another back-end takes (``AgentSpec.backend``).
        preferences: (K, R), one for each learner of a seed; or (K, B, R), one for each environment of a learner.
        updates: updates of each learner in the first stage, within the steps of the task.
        extension: second stage, or None.
        variation: last stage, or None; for environments in JAX.
        num_preferences: number of preferences that the front of a conditional policy or sampler is evaluated for.
        notes: messages for the user before training begins, such as the memory it takes.
        action_notes: messages about how actions are chosen, where that is not plain from their space; ``morl
            check-env`` shows them too.
        budget: work of one seed in words, for the headline; by default policies times updates times steps.
        preference_interval: updates between two calls of :meth:`preference_at`; 0 for fixed preferences.
        update_bytes: bytes that one update of one learner takes beside its state and its rollout, about; 0 if small.
        update_settings: settings that lower them, the best first.
        draw_preference: function of a key that draws a preference (R,) for each episode, or None. It replaces
            ``preferences`` while training.
        warm_start: first part of the first stage, or None.
        policy_metrics: names of metrics of an update of which metrics.csv has a column for each policy too.
    """

    @property
    def learner(self) -> Actor: ...
    @property
    def preferences(self) -> NDArray[np.float64]: ...
    @property
    def updates(self) -> int: ...

    @property
    def extension(self) -> Extension | None:
        return None

    @property
    def variation(self) -> Variation | None:
        return None

    @property
    def num_preferences(self) -> int:
        return 1

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    @property
    def action_notes(self) -> tuple[str, ...]:
        return ()

    @property
    def budget(self) -> str:
        return ""

    @property
    def preference_interval(self) -> int:
        return 0

    @property
    def update_bytes(self) -> int:
        return 0

    @property
    def update_settings(self) -> tuple[str, ...]:
        return ()

    @property
    def draw_preference(self) -> Callable[[jax.Array], jax.Array] | None:
        return None

    @property
    def warm_start(self) -> WarmStart | None:
        return None

    @property
    def policy_metrics(self) -> tuple[str, ...]:
        return ()

    def guide(self, reference_point: NDArray[np.float64], num_seeds: int, capacity: int) -> Guide | None:
        """Return the schedule that evaluations guide in the first stage, or None.

        Args:
            reference_point: (R,) of the hypervolume.
            num_seeds: S.
            capacity: places of an archive.
        """
        return None

    def remark(self, row: Mapping[str, float]) -> str | None:
        """Return a message about a row of metrics, or None; the training says each message once."""
        return None

    def preference_at(self, update: int, archive: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the preferences of a seed's learners, as ``preferences``, from an update of the first stage on.

        Args:
            update: number of the update that comes next, a multiple of ``preference_interval``.
            archive: (n, R) returns in the solution set of this seed, by training estimates; (0, R) before the first
                evaluation.
        """
        return self.preferences
