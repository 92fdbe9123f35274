"""Picture of a molecule under construction, by RDKit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from morl.envs.constructive import chemistry
from morl.envs.constructive.chemistry import Tree
from morl.envs.pictures import canvas as c

WIDTH, HEIGHT, FOOT = 480, 360, 40  # pixels


def draw(tree: Tree, chosen: tuple[int, int] | None, most: int, finished: bool) -> NDArray[np.uint8]:
    """Draw the molecule of a tree and its progress; ``chosen`` is the chosen node and attachment, or None."""
    canvas = c.Canvas(WIDTH, HEIGHT + FOOT, 1)
    progress = f"{len(tree)} of at most {most} fragments"
    canvas.text((WIDTH / 2, HEIGHT + FOOT / 2), f"{progress}, finished" if finished else progress, 18)
    picture = canvas.array()
    if tree:
        atoms = [] if chosen is None else [chemistry.atom_of(tree, *chosen)]
        picture = np.array(Image.fromarray(picture))
        picture[:HEIGHT] = chemistry.draw(chemistry.assemble(tree), (WIDTH, HEIGHT), atoms)
    return picture
