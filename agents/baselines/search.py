"""Search without gradients on constructive tasks: random objects, and NSGA-II (Deb et al., 2002) by pymoo.

Both yield their objects in batches. An oracle call is one finished object whose objectives are computed, known already
or not. Their number is exact, so a search can be compared with a sampler that was trained on as many.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from morl.agents.mogfn.genetics import GenomeReader
from morl.agents.mogfn.trajectories import AnyTask, Finished, Reader, forward
from morl.errors import MissingExtraError
from morl.validation import check_integer, check_range


class UniformReader(NamedTuple):
    """Reader that gives all actions the same logit."""

    num_actions: int

    def start(self) -> tuple[()]:
        return ()

    def read(self, memory: tuple[()], obs: jax.Array) -> tuple[tuple[()], jax.Array]:
        return (), jnp.zeros((len(obs), self.num_actions), jnp.float32)


@partial(jax.jit, static_argnames=("env", "batch"))
def _random(env: AnyTask, batch: int, key: jax.Array) -> Finished:
    reader: Reader[Any] = UniformReader(_num_actions(env))
    return forward(env, env.default_params, reader, batch, 0.0, key).end


@partial(jax.jit, static_argnames="env")
def decode(env: AnyTask, genomes: jax.Array) -> Finished:
    """Return the objects (B, ...) of genomes (B, T) int32, T the task's horizon; see :class:`GenomeReader`."""
    reader: Reader[Any] = GenomeReader(env, genomes)
    # no step is drawn: all actions but one are as good as forbidden
    return forward(env, env.default_params, reader, len(genomes), 0.0, jax.random.key(0)).end


def _num_actions(env: AnyTask) -> int:
    return int(env.action_space.n)  # type: ignore[attr-defined]


def random_objects(env: AnyTask, calls: int, seed: int = 0, batch: int = 1024) -> Iterator[Finished]:
    """Yield ``calls`` objects built by uniform legal steps, in batches."""
    for i, start in enumerate(range(0, calls, batch)):
        yield _random(env, min(batch, calls - start), jax.random.fold_in(jax.random.key(seed), i))


@dataclass(frozen=True)
class NSGA2Config:
    """Settings of NSGA-II; all others are pymoo's defaults."""

    population: int = 200
    """Genomes that are kept, and bred in each generation."""
    mutations: float = 1.0
    """Mean number of a child's genes that are drawn anew, after two-point crossover of its parents."""

    def __post_init__(self) -> None:
        check_integer(self, "population", low=4)
        check_range(self, "mutations", low=0, open_low=True)


def nsga2(env: AnyTask, calls: int, config: NSGA2Config, seed: int = 0) -> Iterator[Finished]:
    """Yield the objects of each generation of NSGA-II, ``calls`` in all; the last generation is cut short.

    It ends before that only where it finds no genome that it has not in its population. Genomes: see
    :class:`GenomeReader`.

    Raises:
        MissingExtraError: pymoo is not installed.
    """
    if importlib.util.find_spec("pymoo") is None:
        raise MissingExtraError("NSGA-II", "baselines")
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.evaluator import Evaluator
    from pymoo.core.mutation import Mutation
    from pymoo.core.problem import Problem
    from pymoo.core.termination import NoTermination
    from pymoo.operators.crossover.pntx import TwoPointCrossover
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.problems.static import StaticProblem

    class DrawnAnew(Mutation):  # type: ignore[misc]  # pymoo has no types
        def _do(self, problem: Any, genomes: Any, *args: Any, random_state: Any = None, **kwargs: Any) -> Any:
            fresh = random_state.integers(0, num_actions, genomes.shape)
            return np.where(random_state.random(genomes.shape) < config.mutations / env.horizon, fresh, genomes)

    num_actions = _num_actions(env)
    problem = Problem(n_var=env.horizon, n_obj=len(env.objectives), xl=0, xu=num_actions - 1, vtype=int)
    search = NSGA2(
        pop_size=config.population,
        sampling=IntegerRandomSampling(),
        crossover=TwoPointCrossover(),
        mutation=DrawnAnew(),
    )
    search.setup(problem, termination=NoTermination(), seed=seed, verbose=False)
    while calls > 0:
        asked = search.ask()
        if asked is None or not len(asked):
            return
        asked = asked[:calls]
        found = decode(env, jnp.asarray(asked.get("X"), jnp.int32))
        Evaluator().eval(StaticProblem(problem, F=-np.asarray(found.values, np.float64)), asked)
        search.tell(infills=asked)
        calls -= len(asked)
        yield found
