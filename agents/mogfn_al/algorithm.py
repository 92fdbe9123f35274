"""MOGFN-AL: a GFlowNet that proposes what an expensive oracle is to label next (Jain et al., 2023, section 4.2).

An update is one round. The first labels random strings. Each later one proposes by all labels so far:

1. fit a surrogate to the labels (:mod:`.surrogate`);
2. take what a label would add to the hypervolume, as far as the surrogate knows, as the acquisition;
3. train a fresh GFlowNet to edit the best strings in proportion to a power of it (:mod:`.mutation_sampler`);
4. draw a pool of proposals, and choose those that add most together;
5. have them labelled (:mod:`.labels`).

A round depends on the labels before it, the seed and its index only, so a round that was cut off is repeated with the
same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np

from morl.agents.mogfn_al import labels as labelling
from morl.agents.mogfn_al import string_proposers
from morl.agents.mogfn_al.config import MOGFNALConfig
from morl.agents.mogfn_al.labels import Floats, Ints, Labelled, Labels, Oracle, StringTask
from morl.agents.mogfn_al.mutation_sampler import MutationSampler, remembered
from morl.envs.constructive.mutations import Mutations
from morl.errors import UserError
from morl.types import LearnerState

METRICS = ("loss", "log_z", "log_acquisition", "surrogate_error")  # of the GFlowNet and its surrogate


@dataclass(frozen=True)
class ActiveLearner:
    """Learner of one search for strings. Its policy, all that going on needs, is :class:`.labels.Labels`.

    Args:
        config: settings.
        env: the task.

    Raises:
        UserError: settings that are not for strings of this task.
    """

    config: MOGFNALConfig
    env: StringTask

    def __post_init__(self) -> None:
        _ = self.sampler  # checks the edits

    @property
    def num_envs(self) -> int:
        """Number of labels of a round after the first."""
        return self.config.round_size

    @property
    def rollout_steps(self) -> int:
        """Return 1: labels are counted."""
        return 1

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of the metrics, :data:`METRICS` where there is a GFlowNet."""
        return METRICS if self.config.proposer == "gflownet" else ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of labels before the first round and after each."""
        return tuple(map(self.config.labels, range(self.config.rounds + 2)))

    @cached_property
    def sampler(self) -> MutationSampler:
        """GFlowNet of edits, trained anew in each round."""
        c, env = self.config, self.env
        task = Mutations(env.num_letters, (env.shortest_length, env.horizon), c.bases, c.max_edits)
        return MutationSampler(c, task)

    def init(self, key: jax.Array) -> LearnerState:
        """Return a search without labels."""
        env = self.env
        room = labelling.empty(self.config.budget, env.horizon, len(env.objectives), len(METRICS))
        return LearnerState(params=(), learning=room)

    def policy(self, state: LearnerState) -> Labels:
        """Extract the labels."""
        labels: Labels = state.learning
        return labels

    def act(self, policy: Any, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Raise UserError: labels do not act."""
        raise UserError("labelled objects are no policy: they do not act")

    def to_env(self, action: jax.Array) -> jax.Array:
        """Return the action as it is."""
        return action

    def update(self, state: LearnerState, *, seed: int, oracle: Oracle, reference_point: Floats) -> LearnerState:
        """Run one round of a search.

        Args:
            state: labels so far.
            seed: of the search.
            oracle: function from strings (n, L) to labels (n, R).
            reference_point: (R,) of the hypervolume.

        Raises:
            UserError: hardly any strings are left that have no label, or the oracle failed.
        """
        c, known = self.config, Labelled.from_arrays(state.learning)
        index = known.next_round
        rng, metrics = np.random.default_rng([seed, index]), np.full(len(METRICS), np.nan)
        if index == 0:
            known.label(oracle, self._random(known, rng), index)
        elif c.proposer == "gflownet":
            key = jax.random.fold_in(jax.random.key(seed), index)
            proposed, expected, metrics[:-1] = self._by_gflownet(known, reference_point, key, rng)
            known.label(oracle, proposed, index)
            metrics[-1] = np.sqrt(((expected - known.values[-len(proposed) :]) ** 2).mean())
        else:
            by = string_proposers.by_genetics if c.proposer == "genetic" else string_proposers.by_mutation
            known.label(oracle, by(self.env, known, c.round_size, c.bases, c.max_edits, rng), index)
        return state._replace(learning=known.arrays(c.budget, metrics))

    def _random(self, known: Labelled, rng: np.random.Generator) -> Ints:
        """Return ``initial`` different random strings."""
        proposed = known.strings
        while len(proposed) < self.config.initial:
            more = string_proposers.random_strings(self.env, self.config.initial, rng)
            proposed = known.fresh(np.concatenate([proposed, more]))[: self.config.initial]
        return proposed

    def _by_gflownet(
        self, known: Labelled, reference_point: Floats, key: jax.Array, rng: np.random.Generator
    ) -> tuple[Ints, Floats, tuple[float, ...]]:
        """Return new strings, the labels that the surrogate expects of them, and the sampler's metrics."""
        from morl.agents.mogfn_al.surrogate import Surrogate  # imports PyTorch

        c, sampler = self.config, self.sampler
        key_train, key_draw = jax.random.split(key)

        # 1. Fit the surrogate to all labels.
        surrogate = Surrogate(known.strings, known.values, self.env.num_letters)

        # 2. Acquisition: what a label would add to the front.
        front = known.strings[known.front()]
        acquisition = surrogate.acquisition(front, reference_point, c.posterior_samples, int(rng.integers(2**31)))
        log_value, _ = remembered(acquisition)

        # 3. Train a sampler of edits of the best strings.
        bases = known.strings[known.best_first()[: c.bases]]
        state, metrics = sampler.train(bases, log_value, key_train)

        # 4. Draw proposals, and choose the batch that adds most together.
        pool = known.fresh(sampler.draw(state, bases, c.pool, key_draw))
        if len(pool) < c.round_size:  # it has learnt to build very few, or known ones again
            more = string_proposers.by_mutation(self.env, known, c.pool, c.bases, c.max_edits, rng)
            pool = known.fresh(np.concatenate([pool, more]))
        proposed = pool[acquisition.best(pool, c.round_size)]
        return proposed, surrogate.mean(proposed), tuple(metrics[name] for name in METRICS[:-1])
