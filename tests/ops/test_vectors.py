"""Vectors that users give, with one number for each objective."""

import numpy as np
import pytest

from morl.errors import UserError
from morl.ops.vectors import as_vector


@pytest.mark.parametrize(
    "value", ["0.7 0.3", "0.7,0.3", " 0.7, 0.3 ", [0.7, 0.3], ("0.7", "0.3"), np.array([0.7, 0.3])]
)
def test_numbers_and_texts_of_them(value):
    np.testing.assert_array_equal(as_vector(value, "it", 2, "numbers"), [0.7, 0.3])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "it has 2 numbers, one for each of a, b, not none"),
        ([], "it has 2 numbers, one for each of a, b, not none"),
        (3, "it has 2 numbers, one for each of a, b, not 1 (3)"),
        ("1 2 3", "it has 2 numbers, one for each of a, b, not 3 (1 2 3)"),
        ([1, float("nan")], "it has 2 numbers, one for each of a, b, not 1 nan"),
        ("1 x", "it is a list of numbers, not ['1', 'x']"),
        ([None, 1], "it has 2 numbers, one for each of a, b, not nan 1"),
        ([[1, 2]], "it is one row of numbers, not an array of shape (1, 2)"),
        ([[1, 2], [3]], "it is a list of numbers, not [[1, 2], [3]]"),
        (object, "it is a list of numbers, not <class 'object'>"),
    ],
)
def test_other_things_are_one_line(value, message):
    with pytest.raises(UserError) as error:
        as_vector(value, "it", 2, "numbers", ("a", "b"), finite=True)
    assert str(error.value) == message
