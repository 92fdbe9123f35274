"""Assembly and properties of molecules made of fragments, by RDKit.

Worker processes import this module, so it does not import JAX. The 72 fragments are those of Bengio et al. (2021).
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
"""Nodes in order, each (block, number of its parent, attachment of the parent's fragment). The last two have no meaning
for the first node."""

LIGHT, HEAVY = 300.0, 1000.0  # g/mol up to which the weight objective is 1, and from which on it is 0
RADIUS, BITS = 2, 2048  # radius and length of Morgan fingerprints


class Vocabulary(NamedTuple):
    """Fragments and blocks that molecules are made of.

    Attributes:
        smiles: SMILES of each fragment.
        attachments: for each fragment, the atoms that can be bonded to another fragment, once each.
        blocks: pairs (fragment, attachment by which it is added), without symmetric duplicates.
    """

    smiles: tuple[str, ...]
    attachments: tuple[tuple[int, ...], ...]
    blocks: tuple[tuple[int, int], ...]


@cache
def vocabulary() -> Vocabulary:
    """Return the 72 fragments and the 105 blocks.

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
    """Return the molecule of a tree: each edge is a single bond, which replaces a hydrogen at both attachments."""
    chem, words = _rdkit("Chem"), vocabulary()
    molecule = chem.RWMol()
    for block, _, _ in tree:
        molecule.InsertMol(_fragment(words.smiles[words.blocks[block][0]]))
    for child, (block, parent, site) in enumerate(tree[1:], start=1):
        ends = atom_of(tree, parent, site), atom_of(tree, child, words.blocks[block][1])
        molecule.AddBond(*ends, chem.BondType.SINGLE)
        for end in ends:
            atom = molecule.GetAtomWithIdx(end)
            if atom.GetNumExplicitHs():  # explicit in the SMILES; RDKit counts the implicit ones
                atom.SetNumExplicitHs(atom.GetNumExplicitHs() - 1)
    chem.SanitizeMol(molecule)
    return molecule.GetMol()


def atom_of(tree: Tree, node: int, attachment: int) -> int:
    """Return the index, in the molecule of a tree, of the atom at an attachment of a node."""
    words = vocabulary()
    fragments = [words.blocks[block][0] for block, _, _ in tree[: node + 1]]
    before: int = sum(_fragment(words.smiles[fragment]).GetNumAtoms() for fragment in fragments[:-1])
    return before + words.attachments[fragments[-1]][attachment]


def smiles_of(tree: Tree) -> str:
    """Return the canonical SMILES of a tree's molecule, equal for all trees of one molecule."""
    return str(_rdkit("Chem").MolToSmiles(assemble(tree)))


def objectives_of(tree: Tree) -> tuple[float, float, float]:
    """Return the three :func:`properties` of the molecule of a tree."""
    return properties(assemble(tree))


def properties(molecule: Any) -> tuple[float, float, float]:
    """Return drug-likeness (QED, Bickerton et al., 2012), ease of synthesis and weight, each from 0 to 1.

    Ease of synthesis is (10 - SA) / 9, where SA is the score of Ertl and Schuffenhauer (2009), from 1 (easy) to 10. The
    weight is 1 up to 300 g/mol and falls linearly to 0 at 1000 g/mol.
    """
    weight = (LIGHT - _rdkit("Chem.Descriptors").MolWt(molecule)) / (HEAVY - LIGHT) + 1
    return (
        float(_rdkit("Chem.QED").qed(molecule)),
        (10 - float(_synthesis().calculateScore(molecule))) / 9,
        min(max(weight, 0.0), 1.0),
    )


def distances(some: Sequence[str], others: Sequence[str]) -> NDArray[np.float64]:
    """Return distances (n, m) of molecules given by SMILES: 1 - Tanimoto similarity of Morgan fingerprints."""
    rows, columns = ([_fingerprint(smiles) for smiles in group] for group in (some, others))
    similar = _rdkit("DataStructs").BulkTanimotoSimilarity
    return 1 - np.array([similar(row, columns) for row in rows]).reshape(len(rows), len(columns))


def draw(molecule: Any, size: tuple[int, int], atoms: Sequence[int] = ()) -> NDArray[np.uint8]:
    """Draw a molecule in the plane, (H, W, 3) uint8, with the given atoms highlighted."""
    from PIL import Image

    drawer = _rdkit("Chem.Draw.rdMolDraw2D")
    canvas = drawer.MolDraw2DCairo(*size)
    drawer.PrepareAndDrawMolecule(canvas, molecule, highlightAtoms=list(atoms))
    canvas.FinishDrawing()
    with Image.open(io.BytesIO(canvas.GetDrawingText())) as image:
        return np.array(image.convert("RGB"))


def read(smiles: str) -> Any:
    """Return the molecule of a SMILES.

    Raises:
        UserError: the text is not a valid SMILES.
    """
    with _rdkit("rdBase").BlockLogs():  # the error below replaces RDKit's
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
    """Return RDKit's implementation of the SA score, which it ships outside of its package."""
    path = Path(_rdkit("RDConfig").RDContribDir, "SA_Score", "sascorer.py")
    spec: Any = importlib.util.spec_from_file_location("morl_sascorer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RDKit leaves the file of the table open
        module.readFragmentScores()
    return module


@cache
def _rdkit(module: str) -> Any:
    try:
        return importlib.import_module(f"rdkit.{module}")
    except ImportError:
        raise MissingExtraError("chemistry", "chem") from None
