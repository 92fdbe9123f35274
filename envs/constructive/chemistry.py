"""Molecules of fragments, by RDKit: how they are put together, and what they are worth.

Nothing here imports JAX: worker processes import this module. The fragments are the 72 of Bengio et al. (2021).
"""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from morl.errors import MissingExtraError, UserError

Tree = tuple[tuple[int, int, int], ...]
"""Nodes in order, each (block, number of its parent, attachment of the parent's fragment); the last two are not of the
first node."""

LIGHT, HEAVY = 300.0, 1000.0  # g/mol up to which the weight is perfect, and from which on it is worth nothing
RADIUS, BITS = 2, 2048  # of Morgan fingerprints


class Vocabulary(NamedTuple):
    """What molecules are made of.

    Attributes:
        smiles: of each fragment.
        attachments: of each fragment, the atoms that can be bonded to another fragment's, each once.
        blocks: (fragment, attachment it is added by), those alike by symmetry once.
    """

    smiles: tuple[str, ...]
    attachments: tuple[tuple[int, ...], ...]
    blocks: tuple[tuple[int, int], ...]


@cache
def vocabulary() -> Vocabulary:
    """The 72 fragments and the 105 ways to add one.

    Raises:
        MissingExtraError: RDKit is not installed.
    """
    with Path(__file__).with_name("fragments.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    smiles = tuple(row["smiles"] for row in rows)
    attachments = tuple(tuple(map(int, row["attachments"].split())) for row in rows)
    blocks = []
    for i, atoms in enumerate(attachments):
        alike = list(_rdkit("Chem").CanonicalRankAtoms(_fragment(smiles[i]), breakTies=False))
        first = {alike[atom]: j for j, atom in reversed(list(enumerate(atoms)))}
        blocks += [(i, j) for j in sorted(first.values())]
    return Vocabulary(smiles, attachments, tuple(blocks))


def assemble(tree: Tree) -> Any:
    """The molecule of a tree: a single bond between the two attachments of each edge, for a hydrogen of each."""
    chem, words = _rdkit("Chem"), vocabulary()
    molecule = chem.RWMol()
    for block, _, _ in tree:
        molecule.InsertMol(_fragment(words.smiles[words.blocks[block][0]]))
    for child, (block, parent, site) in enumerate(tree[1:], start=1):
        ends = atom_of(tree, parent, site), atom_of(tree, child, words.blocks[block][1])
        molecule.AddBond(*ends, chem.BondType.SINGLE)
        for end in ends:
            atom = molecule.GetAtomWithIdx(end)
            if atom.GetNumExplicitHs():  # written in the fragment; other hydrogens are counted by RDKit
                atom.SetNumExplicitHs(atom.GetNumExplicitHs() - 1)
    chem.SanitizeMol(molecule)
    return molecule.GetMol()


def atom_of(tree: Tree, node: int, attachment: int) -> int:
    """Which atom of a tree's molecule an attachment of a node is."""
    words = vocabulary()
    fragments = [words.blocks[block][0] for block, _, _ in tree[: node + 1]]
    before: int = sum(_fragment(words.smiles[fragment]).GetNumAtoms() for fragment in fragments[:-1])
    return before + words.attachments[fragments[-1]][attachment]


def smiles_of(tree: Tree) -> str:
    """Canonical SMILES of a tree's molecule, the same for all trees of one."""
    return str(_rdkit("Chem").MolToSmiles(assemble(tree)))


def objectives_of(tree: Tree) -> tuple[float, float, float]:
    """Of the molecule of a tree, see :func:`properties`."""
    return properties(assemble(tree))


def properties(molecule: Any) -> tuple[float, float, float]:
    """Drug-likeness (QED, Bickerton et al., 2012), ease of synthesis and weight, each from 0 to 1.

    Synthesis is (10 - SA) / 9 of the score of Ertl and Schuffenhauer (2009), which is from 1, easy, to 10. The weight
    is 1 up to 300 g/mol and falls to 0 at 1000.
    """
    weight = (LIGHT - _rdkit("Chem.Descriptors").MolWt(molecule)) / (HEAVY - LIGHT) + 1
    return (
        float(_rdkit("Chem.QED").qed(molecule)),
        (10 - float(_synthesis().calculateScore(molecule))) / 9,
        min(max(weight, 0.0), 1.0),
    )


def distances(some: Sequence[str], others: Sequence[str]) -> NDArray[np.float64]:
    """(n, m) of molecules by SMILES: 1 - Tanimoto similarity of their Morgan fingerprints."""
    rows, columns = ([_fingerprint(smiles) for smiles in group] for group in (some, others))
    similar = _rdkit("DataStructs").BulkTanimotoSimilarity
    return 1 - np.array([similar(row, columns) for row in rows]).reshape(len(rows), len(columns))


def draw(molecule: Any, size: tuple[int, int], atoms: Sequence[int] = ()) -> NDArray[np.uint8]:
    """A molecule in the plane, (H, W, 3) uint8, some of its atoms marked."""
    from PIL import Image

    drawer = _rdkit("Chem.Draw.rdMolDraw2D")
    canvas = drawer.MolDraw2DCairo(*size)
    drawer.PrepareAndDrawMolecule(canvas, molecule, highlightAtoms=list(atoms))
    canvas.FinishDrawing()
    with Image.open(io.BytesIO(canvas.GetDrawingText())) as image:
        return np.array(image.convert("RGB"))


def read(smiles: str) -> Any:
    """The molecule of a SMILES.

    Raises:
        UserError: it is none.
    """
    with _rdkit("rdBase").BlockLogs():  # what is wrong is told below
        molecule = _rdkit("Chem").MolFromSmiles(smiles)
    if molecule is None:
        raise UserError(f"a molecule is given by its SMILES, which {smiles!r} is not")
    return molecule


@cache
def _fragment(smiles: str) -> Any:
    return read(smiles)


def _fingerprint(smiles: str) -> Any:
    return _generator().GetFingerprint(read(smiles))


@cache
def _generator() -> Any:
    return _rdkit("Chem.rdFingerprintGenerator").GetMorganGenerator(radius=RADIUS, fpSize=BITS)


@cache
def _synthesis() -> Any:
    """RDKit's own implementation of the score, which it ships but not as a part of the package."""
    path = Path(_rdkit("RDConfig").RDContribDir, "SA_Score", "sascorer.py")
    spec: Any = importlib.util.spec_from_file_location("morl_sascorer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it leaves its table's file open
        module.readFragmentScores()
    return module


@cache
def _rdkit(module: str) -> Any:
    try:
        return importlib.import_module(f"rdkit.{module}")
    except ImportError:
        raise MissingExtraError("chemistry", "chem") from None
