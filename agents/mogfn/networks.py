"""Networks of a conditional policy: step by step while trajectories are sampled, over whole ones for the loss."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from morl.agents.mogfn.parts import Room, in_parts
from morl.agents.mogfn.trajectories import AnyTask, Reader, Trajectories
from morl.errors import UserError
from morl.networks import encoders
from morl.networks.mlp import MLP, mlp
from morl.networks.transformer import Memory, Transformer, transformer
from morl.networks.tree_transformer import Trees, TreeTransformer, tree_transformer
from morl.types import PyTree

# shares of the longest possible batch that a program is compiled for; the smallest with room for all steps is run
SHARES = (1 / 16, 3 / 32, 1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2, 3 / 4, 1)
FEW = 2048  # rows up to which one program is compiled: a choice would save less than compiling it takes

# tokens of the parts in which graphs are computed on CPUs, while they are learnt from and while they are sampled
LEARNT_TOKENS, READ_TOKENS = 256, 64
TOKENS_OF_A_ROW = 2.5  # tokens of a graph that a part has room for, on average

Result = TypeVar("Result")


class Network(Protocol):
    """Structure of a network, apart from its parameters; all its outputs are (..., num_outputs), the logits first."""

    def init(self, rng: np.random.Generator, num_conditions: int, num_outputs: int) -> PyTree:
        """Return fresh parameters, as NumPy arrays, whose outputs are about 0."""
        ...

    def of(self, params: PyTree, obs: jax.Array, condition: jax.Array) -> jax.Array:
        """Compute outputs for observations (..., *shape) by themselves, under encoded conditions (..., C)."""
        ...

    def reader(self, params: PyTree, condition: jax.Array) -> Reader[Any]:
        """Return a reader along trajectories under encoded conditions (B, C)."""
        ...

    def outputs(
        self, params: PyTree, trajectories: Trajectories, condition: jax.Array, rows: int | None = None
    ) -> jax.Array:
        """Compute outputs (B, T, num_outputs) for every step of trajectories (B, T), 0 after the last.

        Args:
            params: parameters.
            trajectories: (B, T).
            condition: (B, C) encoded.
            rows: number of rows to evaluate, at least the number of all steps, as :func:`with_rows` gives it; by
                default B * T.
        """
        ...

    def row_numbers(self, number: int) -> tuple[int, ...]:
        """Return the numbers of rows that ``outputs`` may be asked for, of ``number`` = B * T rows with padding."""
        ...


class PerStateNetwork(ABC):
    """Base of networks that see each observation by itself."""

    @abstractmethod
    def of(self, params: PyTree, obs: jax.Array, condition: jax.Array) -> jax.Array:
        """Compute outputs, see :class:`Network`."""

    def reader(self, params: PyTree, condition: jax.Array) -> Reader[Any]:
        return StateReader(self, params, condition)

    def outputs(
        self, params: PyTree, trajectories: Trajectories, condition: jax.Array, rows: int | None = None
    ) -> jax.Array:
        """Evaluate the steps of all trajectories moved together into ``rows``, see :class:`Network`."""
        batch, steps = trajectories.action.shape
        rows, length = rows or batch * steps, trajectories.length
        ends = jnp.cumsum(length, dtype=jnp.int32)
        place = jnp.arange(rows, dtype=jnp.int32)
        whose = jnp.minimum(jnp.searchsorted(ends, place, side="right", method="scan_unrolled"), batch - 1)
        step = jnp.minimum(place - (ends - length)[whose], steps - 1)
        some = self.of(params, trajectories.obs[whose, step], condition[whose])
        there = jnp.minimum((ends - length)[:, None] + jnp.arange(steps, dtype=jnp.int32)[None], rows - 1)
        return jnp.where(trajectories.valid[..., None], _apart(some, there, (whose, step, place < ends[-1])), 0.0)

    def row_numbers(self, number: int) -> tuple[int, ...]:
        return tuple(math.ceil(number * share) for share in SHARES) if number > FEW else (number,)


@dataclass(frozen=True)
class StateNetwork(PerStateNetwork):
    """MLP of the observation, one-hot where it is of integers, and the condition."""

    env: AnyTask
    hidden: tuple[int, ...]
    activation: str

    def init(self, rng: np.random.Generator, num_conditions: int, num_outputs: int) -> MLP:
        size = encoders.encoder(self.env.observation_space).size + num_conditions
        return mlp(rng, (size, *self.hidden, num_outputs), self.activation, output_scale=0.01)

    def of(self, params: MLP, obs: jax.Array, condition: jax.Array) -> jax.Array:
        """Outputs (..., num_outputs) of observations (..., *shape) under conditions (..., C)."""
        features = encoders.encoder(self.env.observation_space).encode(obs)
        return params(jnp.concatenate([features, condition], axis=-1))


@dataclass(frozen=True)
class GraphNetwork(PerStateNetwork):
    """Transformer over the nodes of a tree, and the condition.

    It is for tasks that put a tree together from nodes of ``num_blocks`` kinds with at most ``num_sites`` sites each.
    Their ``parts`` of an observation are the fields of :class:`~morl.networks.tree_transformer.Trees`, and their
    actions the kinds, then the sites of the nodes, then stop.

    Raises:
        UserError: the task does not build trees.
    """

    env: AnyTask
    width: int
    num_blocks: int
    num_heads: int

    def __post_init__(self) -> None:
        if not hasattr(self.env, "num_sites"):
            raise UserError(f"network graph is for trees of nodes; {self.env.id} has none: use mlp")

    def init(self, rng: np.random.Generator, num_conditions: int, num_outputs: int) -> TreeTransformer:
        task: Any = self.env
        return tree_transformer(
            rng,
            num_kinds=task.num_blocks,
            num_sites=task.num_sites,
            num_conditions=num_conditions,
            num_outputs=num_outputs - task.num_places,
            width=self.width,
            num_blocks=self.num_blocks,
            num_heads=self.num_heads,
        )

    def of(self, params: TreeTransformer, obs: jax.Array, condition: jax.Array) -> jax.Array:
        task: Any = self.env
        return self._joined(*params(Trees(*task.parts(obs)), condition))

    def reader(self, params: TreeTransformer, condition: jax.Array) -> GraphReader:
        return GraphReader(self, params, condition)

    def outputs(
        self, params: TreeTransformer, trajectories: Trajectories, condition: jax.Array, rows: int | None = None
    ) -> jax.Array:
        batch, steps = trajectories.action.shape
        each = jnp.repeat(condition, steps, axis=0)
        obs = trajectories.obs.reshape(batch * steps, -1)
        found = self.some(params, obs, each, trajectories.valid.reshape(-1), LEARNT_TOKENS)
        return found.reshape(batch, steps, -1)

    def row_numbers(self, number: int) -> tuple[int, ...]:
        return (number,)

    def some(
        self, params: TreeTransformer, obs: jax.Array, condition: jax.Array, counts: jax.Array, tokens: int
    ) -> jax.Array:
        """Compute outputs (M, num_outputs) of the observations (M, K) that count, 0 for the others and of full trees.

        On CPUs they are computed in parts of ``tokens`` tokens, elsewhere all at once. It is differentiable in
        ``params`` alone.
        """
        task: Any = self.env
        number = (task.parts(obs)[0] != task.num_blocks).sum(axis=-1, dtype=jnp.int32)
        longest: int = task.most_fragments  # tokens of the largest tree that is not full

        def by(room: Room) -> Callable[..., jax.Array]:
            return partial(in_parts, partial(self._packed, room.tokens), room)

        found: jax.Array = jax.lax.platform_dependent(
            params,
            (obs, condition),
            number + 1,
            counts & (number < longest),
            cpu=by(Room(int(tokens / TOKENS_OF_A_ROW), max(tokens, longest))),
            default=by(Room(len(obs), longest * len(obs))),
        )
        return found

    def _packed(
        self, room: int, params: TreeTransformer, rows: tuple[jax.Array, jax.Array], counts: jax.Array
    ) -> jax.Array:
        task: Any = self.env
        obs, condition = rows
        kinds, parents, sites, chosen = task.parts(obs)
        trees = Trees(kinds[:, :-1], parents[:, :-1], sites[:, :-1], chosen)
        whole, of_sites = params.packed(trees, condition, counts, room)
        return self._joined(whole, jnp.pad(of_sites, ((0, 0), (0, 1), (0, 0))))

    def _joined(self, whole: jax.Array, sites: jax.Array) -> jax.Array:
        """Put the outputs (..., outputs) of whole trees and (..., N, S) of sites in the order of the actions."""
        task: Any = self.env
        flat = sites.reshape(*sites.shape[:-2], task.num_places)
        return jnp.concatenate([whole[..., : task.num_blocks], flat, whole[..., task.num_blocks :]], axis=-1)


def with_rows(network: Network, trajectories: Trajectories, of: Callable[[int], Result]) -> Result:
    """Call ``of`` with the smallest number of rows that has room for the steps of these trajectories (B, T).

    Trajectories are mostly shorter than the longest possible, and the number is known at run time only. Differentiate
    inside ``of``, not around this function: between forward and backward a switch stores the residuals of every branch.
    """
    numbers = network.row_numbers(trajectories.action.size)
    place = jnp.searchsorted(jnp.array(numbers, jnp.int32), trajectories.length.sum(dtype=jnp.int32))
    result: Result = jax.lax.switch(place, [partial(of, number) for number in numbers])
    return result


@jax.custom_vjp
def _apart(rows: jax.Array, there: jax.Array, places: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
    """Return ``rows[there]``, with a gradient that gathers by ``places``.

    The gradient of a plain gather is a scatter, which XLA's CPU backend adds up one element at a time.

    Args:
        rows: (rows, ...).
        there: (B, T) row of each step.
        places: trajectory and step of each row, and whether it counts.
    """
    return rows[there]


def _together(places: tuple[jax.Array, jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, None, None]:
    *where, counts = places
    return jnp.where(counts[:, None], gradient[tuple(where)], 0.0), None, None


_apart.defvjp(lambda rows, there, places: (rows[there], places), _together)


class StateReader(NamedTuple):
    """Reader without memory."""

    network: PerStateNetwork
    params: PyTree
    condition: jax.Array

    def start(self) -> tuple[()]:
        return ()

    def read(self, memory: tuple[()], obs: jax.Array) -> tuple[tuple[()], jax.Array]:
        return (), self.network.of(self.params, obs, self.condition)


class GraphReader(NamedTuple):
    """Reader that computes the outputs of trajectories that go on, and 0 for those that have ended.

    An observation tells which: each step changes it, until the last. The memory is the observation before.
    """

    network: GraphNetwork
    params: TreeTransformer
    condition: jax.Array

    def start(self) -> jax.Array:
        shape: Any = self.network.env.observation_space.shape
        return jnp.full((len(self.condition), *shape), -1, jnp.int32)

    def read(self, memory: jax.Array, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        goes_on = (obs != memory).any(axis=-1)
        return obs, self.network.some(self.params, obs, self.condition, goes_on, READ_TOKENS)


@dataclass(frozen=True)
class StringNetwork:
    """Causal transformer over strings that are written letter by letter.

    It is for tasks whose observation is the string so far, (L,) integers, ``num_letters`` where there is no letter yet,
    and whose steps write the next one. A step needs only the letter before it and the memory of the others.

    Raises:
        UserError: the task does not say how many letters there are.
    """

    env: AnyTask
    width: int
    num_blocks: int
    num_heads: int

    def __post_init__(self) -> None:
        if not hasattr(self.env, "num_letters"):
            raise UserError(f"network transformer is for strings; {self.env.id} has none: use mlp")

    @property
    def _blank(self) -> int:
        return int(self.env.num_letters)  # type: ignore[attr-defined]

    def init(self, rng: np.random.Generator, num_conditions: int, num_outputs: int) -> Transformer:
        return transformer(
            rng,
            num_letters=self._blank + 1,
            length=self.env.horizon,
            num_conditions=num_conditions,
            num_outputs=num_outputs,
            width=self.width,
            num_blocks=self.num_blocks,
            num_heads=self.num_heads,
        )

    def of(self, params: Transformer, obs: jax.Array, condition: jax.Array) -> jax.Array:
        place = jnp.minimum(jnp.sum(obs != self._blank, axis=-1, dtype=jnp.int32), self.env.horizon - 1)
        return jnp.take_along_axis(params(obs, condition), place[:, None, None], axis=1)[:, 0]

    def reader(self, params: Transformer, condition: jax.Array) -> Reader[StringMemory]:
        return StringReader(params, condition, self._blank)

    def outputs(
        self, params: Transformer, trajectories: Trajectories, condition: jax.Array, rows: int | None = None
    ) -> jax.Array:
        return jnp.where(trajectories.valid[..., None], params(trajectories.end.obs, condition), 0.0)

    def row_numbers(self, number: int) -> tuple[int, ...]:
        return (number,)


class StringMemory(NamedTuple):
    """Keys and values of the places so far, and () int32 their number."""

    memory: Memory
    place: jax.Array


class StringReader(NamedTuple):
    """Reader that sees the last letter of each observation, and remembers the others."""

    params: Transformer
    condition: jax.Array
    blank: int

    def start(self) -> StringMemory:
        return StringMemory(self.params.nothing_read(self.condition), jnp.int32(0))

    def read(self, memory: StringMemory, obs: jax.Array) -> tuple[StringMemory, jax.Array]:
        place = memory.place
        letter = jnp.where(place > 0, obs[:, jnp.maximum(place - 1, 0)], self.blank + 1)
        kept, output = self.params.read(memory.memory, letter, place, self.condition)
        return StringMemory(kept, place + 1), output
