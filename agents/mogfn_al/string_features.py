"""Features of strings for a surrogate: counts of short substrings, and the letter at each place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]

MOST_SUBSTRINGS = 512


def spectrum(strings: Ints, num_letters: int) -> Floats:
    """Count each substring of one, two, ... letters in strings (n, L) with blanks after their end, (n, F).

    The spectrum kernel's features (Leslie et al., 2002), up to the longest substrings of which there are no more than
    ``MOST_SUBSTRINGS`` in all, single letters at least: pairs of 20 letters, and up to four of 4.
    """
    letters = codes = np.asarray(strings, np.int64)
    size, total = num_letters, 0
    parts: list[Floats] = []
    while not parts or total + size <= MOST_SUBSTRINGS:
        counts = np.zeros((len(codes), size))
        row, place = np.nonzero(codes < size)
        np.add.at(counts, (row, codes[row, place]), 1.0)
        parts.append(counts)
        total += size
        if codes.shape[1] < 2:
            break
        following = letters[:, -(codes.shape[1] - 1) :]
        before = codes[:, :-1]
        blank = (following == num_letters) | (before == size)
        size *= num_letters
        codes = np.where(blank, size, before * num_letters + following)
    return np.concatenate(parts, axis=1)


def places(strings: Ints, num_letters: int) -> Floats:
    """Encode letters and blanks of strings (n, L) one-hot, (n, L (letters + 1))."""
    return np.eye(num_letters + 1)[np.asarray(strings, np.int64)].reshape(len(strings), -1)
