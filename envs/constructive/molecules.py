"""Drug-like molecules of fragments that are easy to make and light (Jain et al., 2023, section 5.3).

The paper's first objective, a learnt binding energy, is left out because its model is not available offline. The
fragments are those of Bengio et al. (2021); the assembly differs, see :class:`Molecules`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from morl.envs.constructive import MOLECULES, chemistry
from morl.envs.constructive.chemistry import Tree
from morl.envs.constructive.host_values import host_values
from morl.envs.constructive.oracle import Oracle
from morl.envs.constructive.oracle_cache import OracleCache, check_cache_path
from morl.errors import MissingExtraError, UserError

FEWEST = 2  # smallest number of fragments of a finished molecule


class State(NamedTuple):
    """Tree of at most N nodes.

    Nodes are in preorder, and children in the order of their attachments, so that a tree has one state however it was
    built. A missing block, parent, site or place is the number after the last valid one.

    Attributes:
        blocks: (N,) int32 block of each node: its fragment and the attachment by which it was added.
        parents: (N,) int32 parent of each node; missing for the root.
        sites: (N,) int32 attachment of the parent's fragment that the node is bonded to; missing for the root.
        place: () int32 chosen place of the next node, node * S + attachment; missing before it is chosen.
        done: () bool, the molecule is finished.
    """

    blocks: jax.Array
    parents: jax.Array
    sites: jax.Array
    place: jax.Array
    done: jax.Array


@dataclass(frozen=True)
class Molecules:
    """Molecule built by adding fragments to a tree, one at a time.

    - Objectives, each from 0 to 1, by RDKit: qed, drug-likeness; synthesis, (10 - SA) / 9; weight, 1 up to 300 g/mol
      and 0 from 1000 g/mol on.
    - Observation: (3 N + 1,) int32: blocks, parents, sites and the chosen place, see :class:`State`.
    - Action: a block, a place (node * S + attachment, where S = 6 is the largest number of attachments of a fragment),
      or stop. A fragment is added in two steps: first a free attachment of the tree, then one of 105 blocks (a fragment
      and the attachment by which it is bonded, without symmetric duplicates). The first step of all chooses a whole
      fragment. An action that is not allowed leaves the state as it is.
    - Termination: stop, allowed from two fragments on; N fragments; or no free attachment.
    - Source: Jain et al. (2023), section 5.3; fragments of Bengio et al. (2021).

    Bonds are single, and each attachment has at most one, which replaces a hydrogen, so that every tree is a valid
    molecule. Objects are rooted trees: a molecule with several trees counts as several objects.

    >>> env = Molecules()
    >>> env.action_space.n, env.horizon
    (160, 17)

    Raises:
        MissingExtraError: RDKit is not installed.
    """

    most_fragments: int = 9
    """N, largest number of fragments of a molecule."""
    oracle_processes: int = 0
    """Worker processes that compute the objectives; 0 computes in the calling process."""
    oracle_cache: str | None = None
    """File that objectives are kept in for other runs, an SQLite database; by default there is none."""

    id = "molecules-v0"
    objectives = MOLECULES.objectives
    max_episode_steps = None
    observation_key = "tree"
    render_fps = 2

    def __post_init__(self) -> None:
        if importlib.util.find_spec("rdkit") is None:
            raise MissingExtraError(self.id, "chem")
        for name, least in (("most_fragments", FEWEST), ("oracle_processes", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise UserError(f"{name} must be an integer of at least {least}, not {value!r}")
        check_cache_path(self.oracle_cache)

    @cached_property
    def _blocks(self) -> _Blocks:
        return _blocks()

    @property
    def num_blocks(self) -> int:
        """B, number of blocks; also the number that stands for no block."""
        return len(self._blocks.root)

    @property
    def num_sites(self) -> int:
        """S, largest number of attachments of a fragment."""
        return int(self._blocks.sites.max())

    @property
    def num_places(self) -> int:
        """N * S, number of places."""
        return self.most_fragments * self.num_sites

    @property
    def horizon(self) -> int:
        return 2 * self.most_fragments - 1

    @property
    def num_backward_actions(self) -> int:
        """N + 1: remove one of the N nodes, or take back a stop or the choice of a place."""
        return self.most_fragments + 1

    @cached_property
    def observation_space(self) -> spaces.Box:
        most = [self.num_blocks, self.most_fragments, self.num_sites]
        high = np.array([*np.repeat(most, self.most_fragments), self.num_places], np.int32)
        return spaces.Box(np.zeros_like(high), high, dtype=np.int32)

    @cached_property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(self.num_blocks + self.num_places + 1)

    @cached_property
    def reward_space(self) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (3,), np.float32)

    @property
    def reference_point(self) -> NDArray[np.float64]:
        return np.array(MOLECULES.reference_point)

    @property
    def default_params(self) -> tuple[()]:
        return ()

    @property
    def oracle(self) -> Oracle[Tree]:
        """Oracle that returns objectives (n, 3) of n trees, shared by environments of equal ``oracle_`` settings."""
        return _oracle(self.oracle_processes, self.oracle_cache)

    def parts(self, obs: Any) -> tuple[Any, Any, Any, Any]:
        """Split observations (..., 3 N + 1) into blocks, parents and sites (..., N) and the chosen place (...)."""
        number = self.most_fragments
        return obs[..., :number], obs[..., number : 2 * number], obs[..., 2 * number : -1], obs[..., -1]

    def action_mask(self, obs: Any) -> Any:
        """Return (..., B + N S + 1) int8: blocks once a place is chosen, else free places and stop."""
        blocks, *_, place = self.parts(obs)
        xp = obs.__array_namespace__()
        number = (blocks != self.num_blocks).sum(axis=-1, dtype=np.int32)[..., None]
        chosen = (place != self.num_places)[..., None]
        free = self._free(obs)
        allowed = [
            chosen | ((number == 0) & self._blocks.root.reshape(*(1,) * (obs.ndim - 1), -1)),
            free.reshape(*free.shape[:-2], -1) & ~chosen & (number < self.most_fragments),
            (number >= FEWEST) & ~chosen,
        ]
        return xp.concatenate(allowed, axis=-1).astype(np.int8)

    def _free(self, obs: Any) -> Any:
        """Return (..., N, S) bool, True for attachments without a bond."""
        blocks, parents, sites, _ = self.parts(obs)
        xp = obs.__array_namespace__()
        lead = (1,) * (blocks.ndim - 1)
        node = np.arange(self.most_fragments, dtype=np.int32).reshape(*lead, -1, 1)
        site = np.arange(self.num_sites, dtype=np.int32).reshape(*lead, 1, -1)
        there = site < xp.asarray(self._blocks.sites)[blocks][..., None]
        to_parent = (site == xp.asarray(self._blocks.joint)[blocks][..., None]) & (node > 0)
        bonded = parents[..., None, None] == node[..., None, :, :]
        child = bonded & (sites[..., None, None] == site[..., None, :, :])
        return there & ~to_parent & ~child.any(axis=-3)

    def _observe(self, state: State) -> jax.Array:
        return jnp.concatenate([state.blocks, state.parents, state.sites, state.place[None]])

    def _number(self, state: State) -> jax.Array:
        return jnp.sum(state.blocks != self.num_blocks, dtype=jnp.int32)

    def _is_full(self, state: State) -> jax.Array:
        """Return () bool, True when no fragment can be added."""
        has_room: jax.Array = self._free(self._observe(state)).any()
        return (self._number(state) == self.most_fragments) | ~has_room

    def reset(self, key: jax.Array, params: tuple[()]) -> tuple[State, jax.Array]:
        blocks, parents, sites = (
            jnp.full(self.most_fragments, x, jnp.int32) for x in (self.num_blocks, *self._nothing)
        )
        state = State(blocks, parents, sites, jnp.int32(self.num_places), jnp.bool_(False))
        return state, self._observe(state)

    @property
    def _nothing(self) -> tuple[int, int]:
        """Numbers that stand for no parent and no attachment."""
        return self.most_fragments, self.num_sites

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: tuple[()]
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        action = action.astype(jnp.int32)
        allowed = (self.action_mask(self._observe(state))[action] > 0) & ~state.done
        adds = allowed & (action < self.num_blocks)
        stops = allowed & (action == self.num_blocks + self.num_places)
        after = jax.tree.map(lambda new, old: jnp.where(adds, new, old), self._with_node(state, action), state)
        place = jnp.where(allowed & ~adds & ~stops, action - self.num_blocks, after.place)
        after = after._replace(place=place, done=state.done | stops | (adds & self._is_full(after)))
        obs = self._observe(after)
        reward = self._reward(obs, after.done & ~state.done)
        return after, obs, reward, after.done, jnp.bool_(False), self.info(after, params)

    def _with_node(self, state: State, block: jax.Array) -> State:
        """Return the state with a block inserted at the chosen place, or as the root; later nodes move up by one."""
        node = jnp.arange(self.most_fragments, dtype=jnp.int32)
        is_root = self._number(state) == 0
        parent, site = state.place // self.num_sites, state.place % self.num_sites
        # preorder: the node goes before its later siblings, else after all descendants of its parent
        later = (state.parents == parent) & (state.sites > site)
        behind = (node > parent) & (later | (state.parents < parent) | (state.blocks == self.num_blocks))
        here = jnp.where(is_root, 0, jnp.argmax(behind).astype(jnp.int32))

        def insert(old: jax.Array, new: jax.Array) -> jax.Array:
            return jnp.where(node < here, old, jnp.where(node == here, new, jnp.roll(old, 1))).astype(jnp.int32)

        behind_here = (state.parents >= here) & (state.parents < self.most_fragments)
        moved = state.parents + behind_here.astype(jnp.int32)
        return State(
            insert(state.blocks, block),
            insert(moved, jnp.where(is_root, self.most_fragments, parent)),
            insert(state.sites, jnp.where(is_root, self.num_sites, site)),
            jnp.int32(self.num_places),
            state.done,
        )

    def _without_node(self, state: State, here: jax.Array) -> State:
        """Return the state without a leaf, whose place stays chosen; later nodes move down by one."""
        node = jnp.arange(self.most_fragments, dtype=jnp.int32)

        def remove(old: jax.Array, nothing: int) -> jax.Array:
            return jnp.where(node < here, old, jnp.roll(old, -1).at[-1].set(nothing))

        no_parent, no_site = self._nothing
        parent, site = state.parents[here], state.sites[here]
        behind = (state.parents > here) & (state.parents < self.most_fragments)
        moved = state.parents - behind.astype(jnp.int32)
        place = jnp.where(parent == no_parent, self.num_places, parent * self.num_sites + site)
        return State(
            remove(state.blocks, self.num_blocks),
            remove(moved, no_parent),
            remove(state.sites, no_site),
            place.astype(jnp.int32),
            jnp.bool_(False),
        )

    def _reward(self, obs: jax.Array, finishes: jax.Array) -> jax.Array:
        return host_values(self.oracle, self.tree, obs, finishes, 3)

    def values(self, states: State, params: tuple[()]) -> jax.Array:
        """Return objectives (B, 3) of states (B, ...) in one call of the host; 0 for unfinished states."""
        return jax.vmap(self._reward)(jax.vmap(self._observe)(states), states.done)

    def info(self, state: State, params: tuple[()]) -> dict[str, jax.Array]:
        """Return the ``action_mask`` of the state's observation."""
        return {"action_mask": self.action_mask(self._observe(state))}

    def backward_mask(self, state: State) -> jax.Array:
        """Return (N + 1,) int8: remove a leaf, or take back a stop or the choice of a place."""
        node = jnp.arange(self.most_fragments, dtype=jnp.int32)
        chosen = state.place != self.num_places
        stopped = state.done & ~self._is_full(state)
        leaf = (state.blocks != self.num_blocks) & ~(state.parents[:, None] == node[None]).any(axis=0)
        return jnp.append(leaf & ~chosen & ~stopped, chosen | stopped).astype(jnp.int8)

    def backward_step(
        self, state: State, backward_action: jax.Array, params: tuple[()]
    ) -> tuple[State, jax.Array, jax.Array]:
        takes_back = backward_action == self.most_fragments
        node = jnp.minimum(backward_action, self.most_fragments - 1)
        before = state._replace(place=jnp.int32(self.num_places), done=jnp.bool_(False))
        earlier = jax.tree.map(lambda x, y: jnp.where(takes_back, x, y), before, self._without_node(state, node))
        action = jnp.where(takes_back, self.num_blocks + state.place, state.blocks[node])  # no place: stop
        allowed = self.backward_mask(state)[backward_action] > 0
        parent = jax.tree.map(lambda new, old: jnp.where(allowed, new, old), earlier, state)
        return parent, self._observe(parent), action.astype(jnp.int32)

    def tree(self, obs: NDArray[Any]) -> Tree:
        """Return the nodes of an observation (3 N + 1,) as a tree."""
        nodes = zip(*(part.tolist() for part in self.parts(np.asarray(obs))[:3]), strict=True)
        return tuple(node for node in nodes if node[0] != self.num_blocks)

    def text(self, obs: Any) -> str:
        """Return the canonical SMILES of an observation (3 N + 1,)."""
        return chemistry.smiles_of(self.tree(obs))

    def distances(self, some: Sequence[str], others: Sequence[str]) -> NDArray[np.float64]:
        """Return distances (n, m) of SMILES: 1 - Tanimoto similarity of Morgan fingerprints (radius 2, 2048 bits)."""
        return chemistry.distances(some, others)

    def picture(self, smiles: str) -> NDArray[np.uint8]:
        """Draw a molecule in the plane, (H, W, 3) uint8."""
        return chemistry.draw(chemistry.read(smiles), (360, 280))

    def render(self, state: State, params: tuple[()]) -> NDArray[np.uint8]:
        """Draw the molecule so far with the chosen place marked, (H, W, 3) uint8."""
        from morl.envs.pictures import molecules

        obs = np.asarray(self._observe(state))
        chosen = divmod(int(state.place), self.num_sites) if int(state.place) != self.num_places else None
        return molecules.draw(self.tree(obs), chosen, self.most_fragments, bool(state.done))


class _Blocks(NamedTuple):
    """Properties of the B blocks, and of the number that stands for no block.

    Attributes:
        root: (B,) bool, True for the first block of each fragment, which is used at the root.
        sites: (B + 1,) number of attachments of the block's fragment; 0 for no block.
        joint: (B + 1,) attachment by which the block is added; -1 for no block.
    """

    root: NDArray[np.bool_]
    sites: NDArray[np.int32]
    joint: NDArray[np.int32]


@cache
def _blocks() -> _Blocks:
    words = chemistry.vocabulary()
    fragments = [fragment for fragment, _ in words.blocks]
    return _Blocks(
        root=np.array([i == fragments.index(fragment) for i, fragment in enumerate(fragments)]),
        sites=np.array([*(len(words.attachments[fragment]) for fragment in fragments), 0], np.int32),
        joint=np.array([*(joint for _, joint in words.blocks), -1], np.int32),
    )


@cache
def _oracle(processes: int, path: str | None) -> Oracle[Tree]:
    cache = None if path is None else OracleCache(path, f"{Molecules.id} 1, rdkit {version('rdkit')}")
    return Oracle(chemistry.objectives_of, 3, Molecules.id, processes, cache=cache)
