"""Fronts drawn with characters."""

import numpy as np

from morl.viz.sketch import HEIGHT, WIDTH, sketch

NAMES = ("gain", "speed")


def test_a_plane_by_hand():
    lines = sketch(np.array([[0.0, 3.0], [1.0, 1.0], [2.0, -1.0]]), NAMES).splitlines()
    assert lines[0] == "   speed"
    assert lines[1] == " 3 │●"
    assert lines[HEIGHT] == "-1 │" + " " * (WIDTH - 1) + "●"
    assert sum(line.count("●") for line in lines) == 3
    assert lines[-2] == "   └" + "─" * WIDTH
    assert lines[-1].split() == ["0", "gain", "2"]


def test_many_points_are_dots():
    x = np.linspace(0, 1, 200)
    text = sketch(np.stack([x, 1 - x], axis=1), NAMES)
    dots = sum(bin(ord(c) - 0x2800).count("1") for c in text if 0x2800 < ord(c) < 0x2900)
    assert 100 < dots <= 200


def test_more_objectives_are_strips():
    points = np.array([[0.0, 5.0, 1.0], [1.0, 5.0, 0.0], [1.0, 5.0, 0.0]])
    lines = sketch(points, ("a", "bb", "c")).splitlines()
    assert lines[0] == "a   0 [" + "▒" + " " * (WIDTH - 2) + "█] 1"
    assert lines[1].count("█") == 1  # no spread
    assert lines[1].endswith("] 5")
    assert lines[2].startswith("c   0 [█")


def test_ascii_where_there_is_nothing_else():
    for points in (np.eye(2), np.random.default_rng(0).random((100, 2)), np.eye(3)):
        names = ("a", "b", "c")[: points.shape[1]]
        assert sketch(points, names, "ascii").isascii()
    assert "*" in sketch(np.eye(2), NAMES, "latin-1")
