"""Picture of a string of letters, with its n-grams in colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morl.envs.constructive.ngrams import ALPHABET, BLANK, Params
from morl.envs.constructive.strings import State
from morl.envs.pictures import canvas as c

COLUMNS = 18
COLOURS = (c.RED, c.BLUE, c.GREEN, c.ORANGE)


def draw(state: State, params: Params, ngrams: tuple[str, ...]) -> NDArray[np.uint8]:
    """Draw the letters in rows of 18, with n-grams in colour, and the number of each n-gram below."""
    letters = np.asarray(state.letters).tolist()
    rows = -(-len(letters) // COLUMNS)
    canvas = c.Canvas(COLUMNS, rows + 3, 32)
    text = "".join(ALPHABET[i] for i in letters if i != BLANK)
    counts = [0] * len(ngrams)
    for i in range(len(letters)):
        row, column = divmod(i, COLUMNS)
        colour = c.GRID
        for j, gram in enumerate(ngrams):
            if i < len(text) and text[: i + 1].endswith(gram):
                counts[j] += 1
                colour = COLOURS[j]
        canvas.rectangle((column + 0.05, row + 0.05), (column + 0.95, row + 0.95), colour)
        if i < len(text):
            canvas.text((column + 0.5, row + 0.5), text[i], 0.6)
    for j, (gram, count) in enumerate(zip(ngrams, counts, strict=True)):
        x = COLUMNS * (j + 0.5) / len(ngrams)
        canvas.text((x, rows + 1), f"{gram}: {count} of {float(params.most[j]):.0f}", 0.8, COLOURS[j])
    canvas.text((COLUMNS / 2, rows + 2.3), "finished" if state.done else "", 0.6)
    return canvas.array()
