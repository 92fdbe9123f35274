"""Folds of DNA strands by ViennaRNA (Lorenz et al., 2011).

Worker processes import this module, so it does not import JAX.
"""

from __future__ import annotations

import importlib
import re
import tempfile
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from morl.errors import MissingExtraError


class Fold(NamedTuple):
    """Fold of least free energy.

    Attributes:
        energy: kcal/mol at 37 °C, 0 of an open strand.
        structure: a letter for each base: ``(`` and ``)`` of a pair, or ``.``.
    """

    energy: float
    structure: str

    @property
    def pairs(self) -> int:
        """Number of pairs of bases."""
        return self.structure.count("(")

    @property
    def hairpins(self) -> int:
        """Number of loops that are closed by a single pair."""
        return len(re.findall(r"\(\.*\)", self.structure))


def fold(strand: str) -> Fold:
    """Return the fold of a strand of letters ACGT, with the DNA parameters of Mathews (2004).

    >>> fold("GGGGTTTTCCCC").structure
    '((((....))))'
    """
    vienna, model, parameters = _vienna()
    compound = vienna.fold_compound(strand, model)
    compound.params_subst(parameters)
    structure, energy = compound.mfe()
    return Fold(min(0.0, float(energy)), structure)


def layout(structure: str) -> NDArray[np.float64]:
    """Return the plane layout (n, 2) of the bases of a structure, by Bruccoleri and Heinrich (1988)."""
    vienna, *_ = _vienna()
    if len(structure) < 3:
        return np.array([(15.0 * i, 0.0) for i in range(len(structure))])
    places = vienna.naview_xy_coordinates(structure)
    return np.array([(places[i].X, places[i].Y) for i in range(len(structure))])


@cache
def _vienna() -> tuple[Any, Any, Any]:
    """Return the package, its default model and its DNA parameters; parameters of the process are not changed.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        vienna: Any = importlib.import_module("RNA")
    except ImportError:
        raise MissingExtraError("folding DNA", "chem") from None
    with tempfile.NamedTemporaryFile() as before:
        vienna.params_save(before.name)
        vienna.params_load_DNA_Mathews2004()
        model = vienna.md()
        parameters = vienna.param(model)
        vienna.params_load(before.name)
    return vienna, model, parameters
