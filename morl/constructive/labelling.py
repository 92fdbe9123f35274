"""Back-end and solution set of agents that have objects labelled, round by round, by an expensive oracle.

The searches of the seeds run one after another in each update. Their labels are exact and final, so that nothing is
evaluated: the solution set reads the front off them.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol, cast

import jax
import numpy as np
from numpy.typing import NDArray

from morl.agents.mogfn_al import labels as labelling
from morl.agents.mogfn_al.labels import Floats, Labelled, Labels, Oracle, StringTask, oracle_of
from morl.constructive.sampling import diversity
from morl.ops import metrics
from morl.runs.csv import csv_text
from morl.training.nonfinite import NonFinite, no_nonfinite
from morl.training.solution_sets import SolutionSet, Unsupported
from morl.types import Actor, Evaluation, LearnerState, MetricSums, PyTree, Trainer
from morl.words import counted

if TYPE_CHECKING:
    from morl.runs.front import Front
    from morl.training.setup import Setup


class Labeller(Actor, Protocol):
    """Learner of one search, whose update is one round of labels; its policy is :class:`Labels`.

    Attributes:
        env: the task.
        sizes: numbers of labels before the first round and after each.
        metric_names: names of ``Labels.metrics``, or none where they have no meaning.
    """

    @property
    def env(self) -> StringTask: ...
    @property
    def sizes(self) -> tuple[int, ...]: ...
    @property
    def metric_names(self) -> tuple[str, ...]: ...

    def update(self, state: LearnerState, *, seed: int, oracle: Oracle, reference_point: Floats) -> LearnerState:
        """Propose objects, have them labelled, and return the state with the labels.

        Args:
            state: labels so far.
            seed: of the search.
            oracle: function from strings (n, L) to labels (n, R).
            reference_point: (R,) of the hypervolume.
        """
        ...


def make_backend(
    setup: Setup,
    preferences: NDArray[Any],
    *,
    eval_episodes: int,
    devices: Sequence[jax.Device],
    skip_nonfinite: bool = False,
) -> LabellingBackend:
    """Return the trainer of the searches of a setup's seeds; only ``setup`` matters."""
    return LabellingBackend(cast(Labeller, setup.agent.learner), setup.seeds, setup.reference_point)


class LabellingBackend:
    """Trainer of one search for each seed; its state is a ``LearnerState`` with NumPy arrays, stacked.

    See :class:`morl.types.Trainer` for its methods.
    """

    def __init__(self, learner: Labeller, seeds: Sequence[int], reference_point: Floats) -> None:
        self._learner, self._seeds, self._reference_point = learner, seeds, reference_point
        self._oracle = oracle_of(learner.env)

    def init(
        self,
        keys: Sequence[jax.Array],
        learners: Sequence[PyTree] | None = None,
        preferences: NDArray[Any] | None = None,
    ) -> LearnerState:
        """Return searches without labels; their randomness is of their seeds, not of the keys."""
        state: LearnerState = _stacked([self._learner.init(key) for key in keys] if learners is None else learners)
        return state

    def run(self, state: LearnerState, updates: int, sums: MetricSums | None = None) -> tuple[LearnerState, MetricSums]:
        """Run ``updates`` rounds of every search; their metrics are in the labels, in double precision."""
        searches = _unstacked(state, len(self._seeds))
        for _ in range(updates):
            searches = [
                self._learner.update(one, seed=seed, oracle=self._oracle, reference_point=self._reference_point)
                for one, seed in zip(searches, self._seeds, strict=True)
            ]
        before: Any = 0 if sums is None else sums.number
        number: Any = np.full(len(self._seeds), updates, np.float32) + before
        return _stacked(searches), MetricSums(number, {})

    def steps(self, updates: int) -> int:
        """Return the number of labels of one seed after ``updates`` rounds."""
        return self._learner.sizes[updates]

    def with_preferences(self, state: LearnerState, preferences: NDArray[Any]) -> LearnerState:
        """Return the state as it is: labels are for no preference."""
        return state

    def for_learner(self, learner: Any) -> LabellingBackend:
        """Return a trainer of the same seeds whose rounds are another learner's."""
        return LabellingBackend(learner, self._seeds, self._reference_point)

    def saved(self, state: LearnerState) -> LearnerState:
        """Return the state, which is of NumPy arrays already."""
        return state

    def restored(self, fresh: LearnerState, saved: LearnerState) -> LearnerState:
        """Return exactly the state that was saved.

        Raises:
            UserError: it is not that of searches of this task after whole rounds.
        """
        for one in _unstacked(saved, len(self._seeds)):
            labelling.check(one.learning, self._learner.env, self._learner.sizes)
        return saved

    def policies(self, state: LearnerState) -> Labels:
        """Return the labels of all searches, stacked."""
        labels: Labels = state.learning
        return labels

    def nonfinite(self, state: LearnerState) -> NonFinite:
        """Return that no update was non-finite: a label that is not finite is the oracle's error."""
        found: NonFinite = jax.tree.map(np.asarray, no_nonfinite(len(self._seeds)))
        return found

    def incidents(self) -> list[str]:
        """Return no message."""
        return []

    def evaluate(self, policies: PyTree, preferences: NDArray[Any], keys: jax.Array, episodes: int) -> NoReturn:
        """Raise NotImplementedError: labels are exact, and :class:`LabelledObjects` does not ask for it."""
        raise NotImplementedError("labels are exact: there is nothing to evaluate")

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class LabelledObjects(SolutionSet):
    """Non-dominated ones among the labelled objects of each seed, by their labels."""

    kind = "objects"
    conditional = True
    labelled = True
    unsupported: ClassVar[Unsupported] = MappingProxyType(
        {
            "evaluate": "its labels are exact, there is nothing to evaluate again",
            "rollout": "it holds labelled objects, and no policy that acts",
            "sample": "it holds labelled objects, and no sampler that draws others",
            "export": "it holds labelled objects, and no policy that acts",
            "fill": "it holds labelled objects, and no policies to merge",
        }
    )

    def __init__(self, setup: Setup, seeds: Sequence[int], capacity: int) -> None:
        self._seeds, self._env, self._reference_point = seeds, setup.env, setup.reference_point
        self._preference = setup.agent.preferences[0]
        self._metric_names = cast(Labeller, setup.agent.learner).metric_names
        self._labels: list[Labels] = []
        self._known: list[Labelled] = []

    def begin(self, policies: Labels, preferences: Floats) -> None:
        pass

    def saved(self) -> PyTree:
        return ()

    def restore(self, saved: PyTree) -> None:
        pass

    def update(self, trainer: Trainer, policies: Labels, preferences: Floats, keys: jax.Array, episodes: int) -> None:
        self._labels = _unstacked(policies, len(self._seeds))
        self._known = [Labelled.from_arrays(labels) for labels in self._labels]

    def returns(self, index: int) -> Floats:
        known = self._known[index]
        return known.values[known.front()]

    def policies(self, index: int) -> PyTree:
        raise NotImplementedError("no agent extends labels")

    def metrics(self, index: int) -> dict[str, float]:
        known, index_of_round = self._known[index], self._known[index].next_round - 1
        volume = metrics.hypervolume_estimate(self.returns(index), self._reference_point)[0]
        first = metrics.hypervolume_estimate(known.values[known.rounds == 0], self._reference_point)[0]
        proposed = [self._env.text(string) for string in known.strings[known.rounds == index_of_round]]
        return {
            "round": index_of_round,
            "relative_hypervolume": volume / first if first > 0 else float("nan"),
            "batch_diversity": diversity(self._env, proposed),
            **dict(zip(self._metric_names, self._labels[index].metrics.tolist(), strict=False)),
        }

    def describe(self, index: int) -> str:
        return counted(len(self._known[index]), "labelled object")

    def final(self, trainer: Trainer, keys: jax.Array, episodes: int) -> list[tuple[Evaluation, PyTree, Floats]]:
        return [self._front(known, labels) for known, labels in zip(self._known, self._labels, strict=True)]

    @staticmethod
    def evaluate_again(
        setup: Setup, trainer: Trainer, front: Front, key: jax.Array, episodes: int
    ) -> tuple[Evaluation, PyTree, Floats]:
        raise NotImplementedError("labels are exact: there is nothing to evaluate")

    def tables(self) -> dict[str, str]:
        """Return candidates.csv: all labelled strings by seed, in the order of the oracle's calls."""
        rows = []
        for seed, known in zip(self._seeds, self._known, strict=True):
            front = set(known.front().tolist())
            for i, string in enumerate(known.strings):
                values = map(float, known.values[i])
                rows.append([seed, i, i + 1, known.rounds[i], self._env.text(string), *values, int(i in front)])
        names = [objective.name for objective in self._env.objectives]
        return {"candidates.csv": csv_text(["seed", "id", "call", "round", "object", *names, "in_front"], rows)}

    def _front(self, known: Labelled, labels: Labels) -> tuple[Evaluation, PyTree, Floats]:
        rows = known.front()
        values: Any = known.values[rows][:, None]
        strings = known.strings[rows]
        length: Any = (strings < self._env.num_letters).sum(axis=1, dtype=np.int32)[:, None]
        texts = np.array([[self._env.text(string)] for string in strings])
        evaluation = Evaluation(values, values, length, texts)
        return evaluation, labels, np.repeat(self._preference[None], len(rows), axis=0)


def _stacked(searches: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *searches)


def _unstacked(tree: Any, number: int) -> list[Any]:
    return [jax.tree.map(lambda x, i=i: x[i], tree) for i in range(number)]
