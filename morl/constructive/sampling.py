"""Objects that a sampler draws: their texts and distances, and tables of them for a preference."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from morl.constructive import metrics as gfn_metrics
from morl.errors import UserError
from morl.ops.preferences import check_preference
from morl.runs.csv import csv_text
from morl.words import brief_repr

if TYPE_CHECKING:
    from morl.settings import Device
    from morl.training.setup import Setup

Floats = NDArray[np.float64]
Texts = Sequence[str]


def texts(env: Any, obs: NDArray[Any]) -> list[str]:
    """Return the texts of finished objects, observations (n, *shape): the task's ``text``, else their numbers.

    Objects are often drawn again, so each different one is converted once.
    """
    rows = obs.reshape(len(obs), -1)
    _, first, which = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    if hasattr(env, "text"):
        words = [str(env.text(obs[i])) for i in first]
    else:
        words = [" ".join(f"{x:g}" for x in rows[i]) for i in first]
    return [words[i] for i in which.reshape(-1)]


def distances(env: Any, some: Texts, others: Texts) -> Floats:
    """Return the distances (n, m) of objects by their texts: the task's own ``distances``, else Levenshtein's."""
    own = getattr(env, "distances", gfn_metrics.levenshtein_distances)
    return np.asarray(own(some, others), np.float64)


def diversity(env: Any, objects: Texts) -> float:
    """Return the mean distance of all pairs; 0 of fewer than two."""
    number = len(objects)
    if number < 2:
        return 0.0
    return float(distances(env, objects, objects)[np.triu_indices(number, 1)].mean())


def novelty(env: Any, objects: Texts, known: Texts) -> Floats:
    """Return the distance (n,) of each object to the nearest known one; without any, to the nearest different object.

    It is NaN where there is no other object.
    """
    unique, which = np.unique(np.asarray(objects), return_inverse=True)
    mine = unique.tolist()
    if known:
        nearest: Floats = distances(env, mine, sorted(set(known))).min(axis=1)
        return nearest[which]
    if len(mine) < 2:
        return np.full(len(objects), np.nan)
    between = distances(env, mine, mine)
    np.fill_diagonal(between, np.inf)
    nearest = between.min(axis=1)
    return nearest[which]


@dataclass(frozen=True)
class Candidates:
    """Candidates: n objects drawn for preferences.

    Attributes:
        objectives: R names.
        preferences: (n, R) each was drawn for.
        beta: exponent of the reward they were drawn for.
        objects: n texts.
        observations: (n, *shape) of the finished objects.
        values: (n, R).
        rewards: (n,) scalarised by its preference, without the exponent.
        log_probability: (n,) of the steps that built it: of an object that can be built in one way only, as strings
            are, its log-probability, else a lower bound.
        novelty: (n,), see :func:`novelty`.
        repeated: (n,) bool, drawn for the same preference before.
        states: the task's states (n, ...), as pictures need them.
    """

    objectives: tuple[str, ...]
    preferences: Floats
    beta: float
    objects: tuple[str, ...]
    observations: NDArray[Any]
    values: Floats
    rewards: Floats
    log_probability: Floats
    novelty: Floats
    repeated: NDArray[np.bool_]
    states: Any
    __repr__ = brief_repr

    def __len__(self) -> int:
        return len(self.objects)

    def take(self, index: ArrayLike) -> Candidates:
        """Return the candidates of these indices."""
        import jax

        chosen = np.asarray(index, np.int64)
        arrays = ("preferences", "observations", "values", "rewards", "log_probability", "novelty", "repeated")
        return replace(
            self,
            objects=tuple(self.objects[i] for i in chosen),
            states=jax.tree.map(lambda x: x[chosen], self.states),
            **{name: getattr(self, name)[chosen] for name in arrays},
        )

    def unique(self) -> Candidates:
        """Leave out candidates that were drawn for the same preference before."""
        return self.take(np.flatnonzero(~self.repeated))

    def best(self, number: int) -> Candidates:
        """Return the ``number`` of largest reward for each preference, no object twice, the best first."""
        chosen: list[int] = []
        for preference in dict.fromkeys(map(tuple, self.preferences.tolist())):  # in the order they were given
            mine = np.flatnonzero((self.preferences == preference).all(axis=1) & ~self.repeated)
            chosen += mine[np.argsort(-self.rewards[mine], kind="stable")][:number].tolist()
        return self.take(chosen)

    def to_csv(self) -> str:
        """Return a CSV table, one row a candidate; floats are written so that they read back exactly."""
        weights = [f"preference_{name}" for name in self.objectives]
        measured = ["reward", "log_probability", "novelty", "repeated"]
        rows = []
        for i, text in enumerate(self.objects):
            numbers = [self.rewards[i], self.log_probability[i], self.novelty[i]]
            row = [*self.preferences[i], self.beta, *self.values[i], *numbers]
            rows.append([i, text, *map(float, row), int(self.repeated[i])])
        return csv_text(["id", "object", *weights, "beta", *self.objectives, *measured], rows)


BLOCK = 1024  # objects drawn by one compiled call


def sample(
    run: str | Path,
    preferences: ArrayLike,
    number: int = 1000,
    *,
    seed: int = 0,
    beta: float | None = None,
    known: Texts = (),
    training_seed: int | None = None,
    device: Device = "auto",
    env: Any = None,
) -> Candidates:
    """Draw objects with the sampler of a finished run, for preferences it need not have seen.

    >>> import morl
    >>> drawn = morl.sample("runs/x", [0.7, 0.3], 100)  # doctest: +SKIP

    Args:
        run: run directory.
        preferences: (R,) weights on the simplex, or several (k, R).
        number: number of objects for each.
        seed: the same one draws the same objects; whatever it is, not those of the training.
        beta: exponent of the reward; by default the highest the sampler was trained for.
        known: objects that novelty is the distance to, as text.
        training_seed: seed of the sampler, in a run of several seeds; by default the first.
        device: where JAX runs.
        env: the environment, as for :func:`morl.load`.

    Raises:
        UserError: not a finished run of an agent that samples, a preference off the simplex, an exponent it was not
            trained for, numbers out of range, no such training seed.
    """
    source = open_source(
        run, preferences, number, seed=seed, beta=beta, training_seed=training_seed, device=device, env=env
    )
    parts = [source.draw(i, number) for i in range(len(source.weights))]
    import jax

    drawn, log_probability = jax.tree.map(lambda *x: np.concatenate(x), *parts)
    return _candidates(source.setup, source.weights, source.beta, drawn, log_probability, known)


@dataclass(frozen=True)
class Source:
    """Sampler of a finished run, and what it is asked to draw.

    Attributes:
        setup: of the run.
        params: parameters of the sampler.
        weights: (k, R) preferences.
        beta: exponent of the reward.
        keys: one for each preference.
        device: where JAX runs.
    """

    setup: Setup
    params: Any
    weights: Floats
    beta: float
    keys: tuple[Any, ...]
    device: Any

    @property
    def sampler(self) -> Any:
        """Learner whose policy draws."""
        return self.setup.agent.learner

    def block(self, which: int, index: int) -> tuple[Any, NDArray[Any]]:
        """Return the ``BLOCK`` finished objects of this index for a preference, and the (BLOCK,) log-probabilities of
        their steps, on the host."""
        import jax

        with jax.default_device(self.device):
            condition = self.sampler.condition(np.repeat(self.weights[which][None], BLOCK, axis=0), self.beta)
            built = self.sampler.sample(self.params, condition, jax.random.fold_in(self.keys[which], index))
            found: tuple[Any, NDArray[Any]] = jax.tree.map(
                np.asarray, (built.end, self.sampler.log_probability(self.params, condition, built))
            )
        return found

    def draw(self, which: int, number: int) -> tuple[Any, NDArray[Any]]:
        """Return ``number`` objects for a preference, as :meth:`block` does."""
        import jax

        parts = [self.block(which, index) for index in range(-(-number // BLOCK))]
        drawn: tuple[Any, NDArray[Any]] = jax.tree.map(lambda *x: np.concatenate(x)[:number], *parts)
        return drawn


def open_source(
    run: str | Path,
    preferences: ArrayLike,
    number: int,
    *,
    seed: int,
    beta: float | None,
    training_seed: int | None,
    device: Device,
    env: Any = None,
) -> Source:
    """Read the sampler of a run and check what it is asked for, see :func:`sample`."""
    from morl.loading import fronts_of, setup_of
    from morl.training.backends import devices

    for name, value, low in (("number", number, 1), ("seed", seed, 0)):
        if not low <= value < 2**31:
            raise UserError(f"{name} must be at least {low} and below 2**31, not {value}")
    path = Path(run)
    setup, settings = setup_of(path, env=env)
    setup.require("sample")
    import jax

    sampler: Any = setup.agent.learner
    names = setup.objectives
    one = isinstance(preferences, str) or all(np.ndim(item) == 0 for item in preferences)  # type: ignore[union-attr]
    rows: Any = [preferences] if one else preferences
    weights = np.stack([check_preference(row, len(names), names) for row in rows])
    beta = float(sampler.condition(weights, beta).beta[0])  # checks both
    chosen_device = devices.choose(device, 1, setup.spec.split_cores)[0]
    with jax.default_device(chosen_device):
        fronts = fronts_of(path, setup, settings)
        chosen = next(iter(fronts)) if training_seed is None else training_seed
        if chosen not in fronts:
            raise UserError(f"seed {chosen} is not in this run; it has {', '.join(map(str, fronts))}")
        # as evaluations of a finished run: the fourth part of a seed's key is free
        root = jax.random.fold_in(jax.random.split(jax.random.key(seed), 5)[3], chosen)
        keys = tuple(jax.random.fold_in(root, i) for i in range(len(weights)))
    return Source(setup, fronts[chosen].params, weights, beta, keys, chosen_device)


def _candidates(
    setup: Setup, weights: Floats, beta: float, drawn: Any, log_probability: Any, known: Texts
) -> Candidates:
    """Return candidates from finished objects (n, ...), as many for each of the preferences (k, R)."""
    sampler: Any = setup.agent.learner
    number = len(drawn.values) // len(weights)
    preference = np.repeat(weights, number, axis=0)
    values = np.asarray(drawn.values, np.float64)
    objects = texts(setup.env, drawn.obs)
    seen: set[tuple[int, str]] = set()
    repeated = []
    for i, text in enumerate(objects):
        repeated.append((i // number, text) in seen)
        seen.add((i // number, text))
    return Candidates(
        objectives=setup.objectives,
        preferences=preference,
        beta=beta,
        objects=tuple(objects),
        observations=drawn.obs,
        values=values,
        rewards=np.exp(sampler.log_reward(values, preference, 1.0)),
        log_probability=np.asarray(log_probability, np.float64),
        novelty=novelty(setup.env, objects, known),
        repeated=np.array(repeated),
        states=drawn.state,
    )


def read_known(path: Path) -> list[str]:
    """Read objects from a text file, one a line, or from the column ``object`` of a CSV file.

    Raises:
        UserError: unreadable, without that column, or with no object.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UserError(f"cannot read {path}: {reason}") from error
    if path.suffix.lower() == ".csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        if not rows or "object" not in rows[0]:
            raise UserError(f"{path} has no column named object, as morl sample writes it")
        found = [row["object"] or "" for row in rows]
    else:
        found = [line.strip() for line in text.splitlines()]
    found = [line for line in found if line]
    if not found:
        raise UserError(f"{path} holds no object")
    return found
