"""Metrics of coverage: numbers by hand, properties, and moocore's numbers on scaled points."""

import math

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import morl
from morl.errors import UserError
from morl.ops.metrics import hypervolume
from morl.ops.preferences import equally_spaced_weights
from morl.yardsticks import coverage

KNOWN = np.array([[0.0, 100.0], [5.0, 80.0], [10.0, 0.0]])  # ranges 10 and 100
WEIGHTS = equally_spaced_weights(2, 3)  # (1, 0), (0.5, 0.5) and (0, 1)


def fronts(largest=8):
    numbers = st.floats(-100, 100, allow_subnormal=False).map(lambda x: round(x, 3))
    return st.integers(1, largest).flatmap(lambda n: arrays(np.float64, (n, 2), elements=numbers))


def test_span_and_tight_reference_by_hand():
    np.testing.assert_allclose(coverage.span(KNOWN), [10, 100])
    np.testing.assert_allclose(coverage.tight_reference(KNOWN), [-1, -10])


def test_an_objective_without_a_range_counts_in_its_size():
    front = [[0.0, 50.0, 1.0], [0.0, 50.0, 2.0]]
    np.testing.assert_allclose(coverage.span(front), [1, 50, 1])
    np.testing.assert_allclose(coverage.tight_reference(front), [-0.1, 45, 0.9])
    one = [[0.0, 1.0, -4.0]]
    np.testing.assert_allclose(coverage.tight_reference(one), [-0.1, 0.9, -4.4])
    assert coverage.hypervolume_tight(one, one) == (pytest.approx(1), True)
    assert coverage.hypervolume_box(one, one) == (pytest.approx(1), True)
    almost = [[1.0, 3.0], [1.0 + 1e-12, 2.0]]
    np.testing.assert_allclose(coverage.span(almost), [1, 1])


def test_hypervolumes_by_hand():
    """Check in units of the ranges: the known front is (0, 1), (.5, .8), (1, 0), the reference point (-.1, -.1)."""
    whole = 0.1 * 1.1 + 0.5 * 0.9 + 0.5 * 0.1
    assert coverage.hypervolume_tight(KNOWN, KNOWN) == (pytest.approx(1), True)
    assert coverage.hypervolume_box(KNOWN, KNOWN) == (pytest.approx(whole / 1.1**2), True)
    ends = 0.1 * 1.1 + 1.0 * 0.1
    assert coverage.hypervolume_tight(KNOWN[[0, 2]], KNOWN)[0] == pytest.approx(ends / whole)
    assert coverage.hypervolume_box(KNOWN[[0, 2]], KNOWN)[0] == pytest.approx(ends / 1.1**2)
    assert coverage.hypervolume_tight([[-2.0, 500.0]], KNOWN) == (0, True)
    assert coverage.hypervolume_tight([[10.0, 100.0]], KNOWN)[0] > 1


def test_gap_and_covered_share_by_hand():
    found = [[0.0, 100.0], [10.0, 0.0]]  # lacks (5, 80), which the first misses by 0.5 of the range
    assert coverage.largest_gap(found, KNOWN) == pytest.approx(0.5)
    assert coverage.covered_share(found, KNOWN) == pytest.approx(2 / 3)
    near = [[-0.2, 98.0], [4.7, 200.0], [10.0, -2.1]]  # exactly 2 % in both; 3 % in the first; 2.1 % in the second
    assert coverage.covered_share(near[:2], KNOWN) == pytest.approx(1 / 3)
    assert coverage.covered_share(near, KNOWN) == pytest.approx(1 / 3)
    assert coverage.largest_gap(near, KNOWN) == pytest.approx(0.03)
    assert coverage.largest_gap([[4.0, 70.0]], KNOWN[1:2] * [1, 1]) == pytest.approx(math.hypot(1 / 5, 10 / 80))


def test_utility_losses_by_hand():
    """Check with the weights (1, 0), (.5, .5), (0, 1): losses of 0, .65 - .5 and 0 in units of the ranges."""
    found = KNOWN[[0, 2]]
    assert coverage.maximum_utility_loss(found, KNOWN, WEIGHTS) == pytest.approx(0.15)
    assert coverage.mean_utility_loss(found, KNOWN, WEIGHTS) == pytest.approx(0.05)
    assert coverage.igd_plus(found, KNOWN) == pytest.approx(0.5 / 3)
    assert coverage.epsilon_additive(found, KNOWN) == pytest.approx(0.5)


def test_every_second_treasure():
    front = morl.make("deep-sea-treasure-v0").true_front(1.0)
    front = front[front[:, 0].argsort()]
    assert coverage.hypervolume_tight(front, front)[0] == pytest.approx(1)
    half = hypervolume(front[::2], coverage.tight_reference(front)) / hypervolume(
        front, coverage.tight_reference(front)
    )
    assert coverage.hypervolume_tight(front[::2], front)[0] == pytest.approx(half)


def test_exact_values_at_the_tight_reference_of_minecart():
    """Check that without cheap trips 99.8 % are left at the published reference point, and half at the tight one."""
    from morl.yardsticks.stored import stored

    known = stored("minecart-v0", {}, 0.98).front.points
    np.testing.assert_allclose(coverage.tight_reference(known), [-0.0923624, -0.0923624, -1.2053394], atol=1e-6)
    assert coverage.hidden_objectives(known, [-1, -1, -200]) == [2]
    assert hypervolume(known, [-1, -1, -200]) == pytest.approx(668.18, abs=0.01)
    thirsty = known[known[:, 2] < -0.9]
    assert hypervolume(thirsty, [-1, -1, -200]) > 0.997 * 668.18
    assert coverage.hypervolume_tight(thirsty, known)[0] < 0.55
    assert coverage.covered_share(thirsty, known) < 0.5


@settings(max_examples=60, deadline=None)
@given(points=fronts(), front=fronts())
def test_properties(points, front):
    scale = coverage.span(front)
    gap, share = coverage.largest_gap(points, front), coverage.covered_share(points, front)
    tight, box = coverage.hypervolume_tight(points, front)[0], coverage.hypervolume_box(points, front)[0]
    assert gap >= coverage.igd_plus(points, front) - 1e-9
    assert gap >= coverage.epsilon_additive(points, front) - 1e-9
    assert coverage.igd_plus(points, front) == pytest.approx(
        moocore.igd_plus(points / scale, front / scale, maximise=True)
    )
    assert (
        coverage.maximum_utility_loss(points, front, WEIGHTS)
        >= coverage.mean_utility_loss(points, front, WEIGHTS) - 1e-9
    )
    assert (share == 1) == (coverage.epsilon_additive(points, front) <= coverage.TOLERANCE + 1e-9)
    assert tight >= box - 1e-12 >= -1e-12
    more = np.concatenate([points, front])  # all of the known front is found
    assert coverage.hypervolume_tight(more, front)[0] >= max(tight, 1) - 1e-9
    assert coverage.largest_gap(more, front) == 0
    assert coverage.covered_share(more, front) == 1
    times, plus = np.array([2.0, 8.0]), np.array([16.0, -4.0])
    if (np.ptp(front, axis=0) > 0.01).all():  # another unit or zero of an objective changes nothing
        other = coverage.hypervolume_tight(points * times + plus, front * times + plus)[0]
        assert other == pytest.approx(tight, abs=1e-6)


def test_hidden_objectives_by_hand():
    front = [[0.0, 0.0, 5.0], [1.0, 1.0, 5.0]]
    assert coverage.hidden_objectives(front, [-101, -99, -1000]) == [0]  # 1 of 101, 1 of 99; the third has no range
    assert coverage.hidden_objectives(front, [0.5, 2, 0]) == []  # above the nadir
    assert coverage.hidden_objectives(front[:1], [-101, -99, -1000]) == []
    assert coverage.hidden_objectives(np.zeros((0, 3)), [0, 0, 0]) == []


@pytest.mark.parametrize(
    ("points", "front", "message"),
    [
        (np.zeros((0, 2)), KNOWN, "there must be at least one of the points"),
        (KNOWN, np.zeros((0, 2)), "at least one of the known front's points"),
        (KNOWN, KNOWN[:, :1], "the known front's points have 1 columns, the points 2 objectives"),
        (KNOWN * np.nan, KNOWN, "points must be finite"),
    ],
)
@pytest.mark.parametrize("measure", [coverage.hypervolume_tight, coverage.largest_gap, coverage.covered_share])
def test_mistakes(measure, points, front, message):
    with pytest.raises(UserError, match=message):
        measure(points, front)
