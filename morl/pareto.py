"""Stand-in until the helper's module lands."""
import numpy as np


def non_dominated(points):
    points = np.asarray(points)
    ge = (points[:, None] >= points[None]).all(-1)
    gt = (points[:, None] > points[None]).any(-1)
    return ~(ge & gt).any(0)
