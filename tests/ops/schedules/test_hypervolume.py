"""Gains of hypervolume and the step factors they give: by hand, and against moocore's exact hypervolumes."""

import moocore
import numpy as np
import pytest

from morl.ops.schedules.hypervolume import added_volume, extended, relative_gains, step_factor

ORIGIN = np.zeros(2)
STAIRS = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])  # hypervolume 6
ALONE, EACH = np.array([0]), np.array([0, 1])


def test_the_factor_is_the_published_one():
    np.testing.assert_allclose(step_factor(np.array([0.0, 0.5, np.inf])), [0.5, 0.5 + 1.5 * np.tanh(0.5), 2.0])


def test_gains_by_hand():
    """(3, 3) adds 3 to 6; what is dominated, equal, or not above the reference point adds nothing."""
    rows = {(3.0, 3.0): 0.5, (1.5, 1.5): 0.0, (2.0, 2.0): 0.0, (9.0, -1.0): 0.0, (9.0, 0.0): 0.0}
    for point, gain in rows.items():
        got = relative_gains(STAIRS, np.array([point]), ALONE, ORIGIN)
        np.testing.assert_allclose(got, [gain], rtol=1e-12, err_msg=str(point))


def test_policies_add_what_no_other_one_does():
    """Two that reach the same add nothing; of two that overlap each counts its own part alone."""
    same = np.array([[3.0, 3.0], [3.0, 3.0]])
    np.testing.assert_array_equal(relative_gains(STAIRS, same, EACH, ORIGIN), [0, 0])
    overlapping = np.array([[4.0, 2.0], [2.0, 4.0]])
    volume = moocore.hypervolume(np.concatenate([STAIRS, overlapping]), ref=ORIGIN, maximise=True)
    others = [np.vstack([STAIRS, row]) for row in overlapping[::-1]]
    own = [volume - moocore.hypervolume(rest, ref=ORIGIN, maximise=True) for rest in others]
    got = relative_gains(STAIRS, overlapping, EACH, ORIGIN)
    np.testing.assert_allclose(got, [own[0] / (volume - own[0]), own[1] / (volume - own[1])], rtol=1e-12)
    # one policy for several preferences has all its rows
    both = relative_gains(STAIRS, overlapping, np.array([0, 0]), ORIGIN)
    np.testing.assert_allclose(both, [(volume - 6) / 6], rtol=1e-12)


def test_the_first_above_the_reference_point_gains_without_bound():
    nothing = np.zeros((0, 2))
    assert relative_gains(nothing, np.array([[1.0, 1.0]]), ALONE, ORIGIN) == np.inf
    assert relative_gains(nothing, np.array([[-1.0, 1.0]]), ALONE, ORIGIN) == 0
    np.testing.assert_array_equal(
        relative_gains(nothing, np.array([[np.nan, 1.0], [1.0, 1.0]]), EACH, ORIGIN), [0, np.inf]
    )


@pytest.mark.parametrize("size", [2, 3, 5])
def test_added_volumes_are_differences_of_hypervolumes(size):
    rng = np.random.default_rng(size)
    others, points, reference = rng.normal(1, 1, (20, size)), rng.normal(1.5, 1, (6, size)), np.full(size, -1.0)
    before = moocore.hypervolume(others, ref=reference, maximise=True)
    after = moocore.hypervolume(np.concatenate([others, points]), ref=reference, maximise=True)
    assert after > 1.05 * before
    np.testing.assert_allclose(added_volume(points, others, reference), after - before, rtol=1e-9)


def test_what_was_reached_is_kept_up_to_a_number():
    front = np.stack([np.arange(10.0), 9 - np.arange(10.0)], axis=1)
    rows = np.concatenate([front, [[np.inf, 0.0], [1.0, 1.0], [0.0, 9.0]]])
    np.testing.assert_array_equal(extended(np.zeros((0, 2)), rows, 20), front)
    few = extended(front[:5], rows, 4)
    assert len(few) == 4
    assert {(0.0, 9.0), (9.0, 0.0)} <= set(map(tuple, few.tolist()))
