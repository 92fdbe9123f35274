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
    """Return the package, our model and our parameters, none of which follow the process's own; those stay as they are.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        vienna: Any = importlib.import_module("RNA")
    except ImportError:
        raise MissingExtraError("folding DNA", "chem") from None
    model = _model(vienna)
    # parameters are made from tables of the process; this loader, unlike params_load_DNA_Mathews2004, changes no other
    # default of it (helical rise, backbone length, salt)
    with tempfile.NamedTemporaryFile("r") as before:
        vienna.params_save(before.name)
        tables, name = before.read(), vienna.last_parameter_file() or ""
    try:
        vienna.params_load_from_string(vienna.parameter_set_dna_mathews2004, "DNA - Mathews 2004")
        parameters = vienna.param(model)
    finally:
        vienna.params_load_from_string(tables, name)
    return vienna, model, parameters


def _model(vienna: Any) -> Any:
    """Return ViennaRNA's published defaults and DNA's geometry; each is given, as one left out is the process's."""
    return vienna.md(
        temperature=37.0,
        betaScale=1.0,
        pf_smooth=1,
        dangles=2,
        special_hp=1,
        noLP=0,
        noGU=0,
        noGUclosure=0,
        logML=0,
        circ=0,
        circ_penalty=1,
        gquad=0,
        uniq_ML=0,
        energy_set=0,
        backtrack=1,
        backtrack_type="F",
        compute_bpp=1,
        max_bp_span=-1,
        min_loop_size=3,
        window_size=-1,
        oldAliEn=0,
        ribo=0,
        cv_fact=1.0,
        nc_fact=1.0,
        sfact=1.07,
        salt=1.021,
        saltMLLower=6,
        saltMLUpper=24,
        saltDPXInit=99999,
        saltDPXInitFact=vienna.MODEL_SALT_DPXINIT_FACT_DNA,
        helical_rise=vienna.MODEL_HELICAL_RISE_DNA,
        backbone_length=vienna.MODEL_BACKBONE_LENGTH_DNA,
    )
