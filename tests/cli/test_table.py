"""Tables and drawings as wide as the terminal, and whole in a pipe."""

import numpy as np
import pytest

from morl.cli import table as tables
from morl.cli import train, tune, usage
from morl.cli.table import paragraph, reflowed, table
from morl.viz.sketch import sketch

HEADER = ["id", "what", *(f"objective {i}" for i in range(9))]
ROWS = [[str(i), "a long description of many words " * 3, *(f"{i * j + 0.5:.3f}" for j in range(9))] for i in range(3)]
RIGHT = range(2, 11)


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that makes the terminal so many columns wide."""
    return lambda columns: monkeypatch.setattr(tables, "terminal_width", lambda: columns)


def test_a_pipe_gets_a_line_a_row():
    assert tables.terminal_width() is None  # of pytest
    lines = table(HEADER, ROWS, RIGHT).splitlines()
    assert len(lines) == 4
    assert all(len(line) > 200 for line in lines[1:])


@pytest.mark.parametrize("columns", [40, 80, 120, 500])
def test_a_terminal_gets_everything_within_its_width(columns, terminal):
    terminal(columns)
    text = table(HEADER, ROWS, RIGHT)
    assert max(map(len, text.splitlines())) <= columns
    for row in ROWS:
        assert all(number in text for number in row[2:])
    heads = [line for line in text.splitlines() if line.startswith("id")]
    assert len(heads) == 1 + text.count("\n\n")  # each part has the first column
    assert text.split().count("description") == 9


def test_a_table_that_fits_stays_as_it_is(terminal):
    whole = table(["a", "b"], [["1", "two words"]], right=[0])
    terminal(80)
    assert table(["a", "b"], [["1", "two words"]], right=[0]) == whole == "a  b\n1  two words"


def test_paragraphs(terminal):
    text = "some words to break " * 20
    assert paragraph(text) == text
    terminal(50)
    assert max(map(len, paragraph(text).splitlines())) <= 50
    assert paragraph(text).split() == text.split()


@pytest.mark.parametrize("columns", [50, 80])
@pytest.mark.parametrize("number", [2, 5])
def test_drawings(columns, number):
    points = np.random.default_rng(0).normal(size=(9, number)) * 1e5
    drawn = sketch(points, [f"a long name {i}" for i in range(number)], columns=columns)
    assert max(map(len, drawn.splitlines())) <= columns


@pytest.mark.parametrize("columns", [70, 80])
def test_the_help(columns, terminal):
    terminal(columns)
    assert max(map(len, usage().splitlines())) <= columns
    for text in (train.HELP, tune.HELP):
        shown = reflowed(text.format(agents="a, b"))
        assert max(map(len, shown.splitlines())) <= columns
        assert shown.split() == text.format(agents="a, b").split()
