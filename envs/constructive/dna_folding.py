"""Strands of DNA that fold with much energy, many pairs and many hairpins (Jain et al., 2023, section 5.2).

ViennaRNA folds here in place of NUPACK, which is not free, so that the objectives are not comparable with published
ones.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from morl.envs.constructive import DNA_FOLDING, folding
from morl.envs.constructive.host_values import host_values
from morl.envs.constructive.oracle import Oracle
from morl.envs.constructive.oracle_cache import OracleCache, check_cache_path
from morl.envs.constructive.strings import State, Strings
from morl.errors import MissingExtraError, UserError

ENERGY, PAIRS, HAIRPINS = 60.0, 16.0, 8.0  # kcal/mol, pairs and hairpins that make an objective 1
LOOP = 3  # smallest number of bases in the loop of a hairpin
STRONGEST = 2.5  # kcal/mol, bound on the energy of a pair


@dataclass(frozen=True)
class DNAFolding(Strings[tuple[()]]):
    """Strand of DNA, written from left to right, that is rewarded for how it folds.

    - Objectives, of the fold of least free energy by ViennaRNA: energy, -energy / 60 kcal/mol; pairs, number / 16;
      hairpins, number / 8. They are about 1 at most in strands that are likely to be found; a single long hairpin has
      up to 28 pairs.
    - Observation: the letters, (L,) int32, with blanks (4) after the end.
    - Action: a letter (A, C, T, G) or stop, see :mod:`morl.envs.constructive.strings`.
    - Termination: stop, allowed from the fewest letters on, or the longest length.
    - Source: Jain et al. (2023), section 5.2, with ViennaRNA for NUPACK.

    >>> env = DNAFolding()
    >>> env.oracle(["GGGGTTTTCCCC"]).round(3).tolist()
    [[0.048, 0.25, 0.125]]

    Raises:
        MissingExtraError: ViennaRNA is not installed.
    """

    lengths: tuple[int, int] = (31, 60)
    """Smallest and largest number of letters."""
    oracle_processes: int = 0
    """Worker processes that fold; 0 folds in the calling process."""
    oracle_cache: str | None = None
    """File that objectives are kept in for other runs, an SQLite database; by default there is none."""

    id = "dna-folding-v0"
    alphabet = "ACTG"
    objectives = DNA_FOLDING.objectives

    def __post_init__(self) -> None:
        if importlib.util.find_spec("RNA") is None:
            raise MissingExtraError(self.id, "chem")
        if isinstance(lengths := getattr(self, "lengths"), list):  # noqa: B009  # from a YAML file
            object.__setattr__(self, "lengths", tuple(lengths))
        whole = len(self.lengths) == 2 and all(type(n) is int for n in self.lengths)
        if not whole or not 1 <= self.lengths[0] <= self.lengths[1]:
            raise UserError(f"lengths are the fewest and the most letters, 1 at least, not {self.lengths}")
        if type(self.oracle_processes) is not int or self.oracle_processes < 0:
            raise UserError(f"oracle_processes must be an integer of at least 0, not {self.oracle_processes!r}")
        check_cache_path(self.oracle_cache)

    @property
    def shortest_length(self) -> int:
        return self.lengths[0]

    @property
    def horizon(self) -> int:
        return self.lengths[1]

    @cached_property
    def reward_space(self) -> spaces.Box:
        pairs = max(0, (self.horizon - LOOP) // 2)
        hairpins = self.horizon // (LOOP + 2)
        high = np.array([STRONGEST * pairs / ENERGY, pairs / PAIRS, hairpins / HAIRPINS], np.float32)
        return spaces.Box(np.zeros(3, np.float32), high)

    @property
    def reference_point(self) -> NDArray[np.float64]:
        return np.array(DNA_FOLDING.reference_point)

    @property
    def default_params(self) -> tuple[()]:
        return ()

    @property
    def oracle(self) -> Oracle[str]:
        """Oracle that returns objectives (n, 3) of n strands, shared by environments of equal ``oracle_`` settings."""
        return _oracle(self.oracle_processes, self.oracle_cache)

    def _reward(self, letters: jax.Array, finishes: jax.Array, params: tuple[()]) -> jax.Array:
        return host_values(self.oracle, self.text, letters, finishes, 3)

    def values(self, states: State, params: tuple[()]) -> jax.Array:
        """Return objectives (B, 3) of states (B, ...) in one call of the host; 0 for unfinished states."""
        return jax.vmap(self._reward, (0, 0, None))(states.letters, jnp.asarray(states.done), params)

    def render(self, state: State, params: tuple[()]) -> NDArray[np.uint8]:
        """Draw the fold of the strand so far, (H, W, 3) uint8."""
        from morl.envs.pictures import dna_folding

        return dna_folding.draw(self.text(state.letters), self.horizon, bool(state.done))


@cache
def _oracle(processes: int, path: str | None) -> Oracle[str]:
    cache = None if path is None else OracleCache(path, f"{DNAFolding.id} 1, viennarna {version('viennarna')}")
    return Oracle(objectives_of, 3, DNAFolding.id, processes, cache=cache)


def objectives_of(strand: str) -> Sequence[float]:
    """Return the three objectives of a strand."""
    found = folding.fold(strand)
    return -found.energy / ENERGY, found.pairs / PAIRS, found.hairpins / HAIRPINS
