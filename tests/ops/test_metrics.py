"""Metrics against published values, other libraries' fronts and numbers by hand."""

import mo_gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from morl.envs.classic.deep_sea_treasure import DeepSeaTreasure
from morl.errors import UserError
from morl.ops import metrics
from morl.ops.preferences import equally_spaced_weights

GAMMAS = (0.98, 0.99, 1.0)


@pytest.mark.parametrize(
    ("name", "reference", "values"),
    [
        ("convex", (0, -25), (319.7462, 360.4009, 401.8000)),
        ("convex", (0, -50), (731.6139, 854.8504, 994.3000)),
        ("concave", (0, -50), (3175.1971, 3688.3771, 4255.0)),
        ("mirrored", (0, -50), (3175.1971, 3688.3771, 4255.0)),
        ("concave", (0, -25), (None, None, 1155.0)),
    ],
)
def test_hypervolumes_of_deep_sea_treasure(name, reference, values):
    for gamma, value in zip(GAMMAS, values, strict=True):
        if value is not None:
            front = DeepSeaTreasure(name).true_front(gamma)
            assert metrics.hypervolume(front, reference) == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize(("gamma", "value"), list(zip(GAMMAS, (36367.62, 46034.80, 58271.26), strict=True)))
def test_hypervolume_of_the_fruit_tree(gamma, value):
    """64 leaves of depth 6, reached by the sixth reward."""
    leaves = np.array(mo_gymnasium.make("fruit-tree-v0", depth=6).unwrapped.tree)[-64:]
    assert metrics.hypervolume(leaves * gamma**5, [-1.0] * 6) == pytest.approx(value, abs=0.01)


@pytest.mark.filterwarnings("ignore:.*precision lowered by casting:UserWarning")
@pytest.mark.parametrize(
    ("id", "values"),
    [("minecart-v0", (668.18, 763.52, 879.70)), ("minecart-deterministic-v0", (723.05, 823.79, 944.93))],
)
def test_hypervolume_of_the_known_minecart_fronts(id, values):
    env = mo_gymnasium.make(id).unwrapped
    for gamma, value in zip(GAMMAS, values, strict=True):
        assert metrics.hypervolume(env.pareto_front(gamma), (-1, -1, -200)) == pytest.approx(value, abs=0.01)


def test_half_a_front_of_deep_sea_treasure():
    front = DeepSeaTreasure().true_front(1.0)
    half = front[::2]
    assert metrics.igd(half, front) == pytest.approx(1.0366, abs=1e-4)
    assert metrics.maximum_utility_loss(half, front, equally_spaced_weights(2, 101)) == pytest.approx(1.3, abs=1e-6)
    assert metrics.hypervolume(half, (0, -50)) == pytest.approx(930.4, abs=1e-6)
    assert metrics.cardinality(half) == 5
    for measure in (metrics.igd, metrics.igd_plus, metrics.epsilon_additive):
        assert measure(front, front) == pytest.approx(0.0, abs=1e-12)


def test_by_hand():
    points = np.array([[0.0, 4.0], [1.0, 3.0], [4.0, 0.0]])
    # 1x1 squares: 0x4 is on the border of the reference; 1*3 + 0
    assert metrics.hypervolume(points, (0, 0)) == 3.0
    assert metrics.sparsity(points) == ((1 + 9) + (9 + 1)) / 2
    for few in (points[:1], points[:2]):
        assert np.isnan(metrics.sparsity(few))
    assert metrics.expected_utility(points, [[1, 0], [0, 1], [0.5, 0.5]]) == pytest.approx((4 + 4 + 2) / 3)
    # what the front offers beyond the points: [2, 2] is short by 1 of [3, 2.5] in one, by 0.5 in the other
    assert metrics.epsilon_additive([[2, 2]], [[3, 2.5]]) == pytest.approx(1.0)
    assert metrics.igd_plus([[2, 9]], [[3, 2.5]]) == pytest.approx(1.0)
    assert metrics.igd([[2, 2.5]], [[3, 2.5]]) == pytest.approx(1.0)


def test_what_does_not_exceed_the_reference_adds_nothing():
    assert metrics.hypervolume(np.zeros((0, 2)), (0, 0)) == 0.0
    assert metrics.hypervolume([[-1.0, 5.0], [5.0, -1.0]], (0, 0)) == 0.0
    assert metrics.hypervolume([[-1.0, 5.0], [2.0, 3.0]], (0, 0)) == 6.0


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 12), st.just(3)), elements=st.integers(0, 4)))
def test_hypervolume_counts_unit_cubes(points):
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    covered = (points[:, None] >= grid + 1).all(axis=2).any(axis=0).sum()
    assert metrics.hypervolume(points, (0, 0, 0)) == pytest.approx(covered)


def test_many_objectives_are_estimated_and_said_to_be():
    rng = np.random.default_rng(0)
    few = np.abs(rng.normal(size=(15, 9)))
    assert metrics.hypervolume_estimate(few, np.zeros(9)) == (metrics.hypervolume(few, np.zeros(9)), True)
    many = rng.dirichlet(np.ones(9), 200)
    value, exact = metrics.hypervolume_estimate(many, np.full(9, -0.1))
    assert not exact
    assert value == metrics.hypervolume_estimate(many, np.full(9, -0.1))[0]


@pytest.mark.parametrize("reference", [(0.0,), (0.0, 0.0, 0.0), (0.0, np.nan), 0.0])
def test_reference_points_of_the_wrong_kind(reference):
    with pytest.raises(UserError, match="the reference point has 2 finite numbers, one an objective"):
        metrics.hypervolume([[1.0, 1.0]], reference)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_the_estimate_is_close_whatever_the_scale_of_an_objective(scale):
    """65 points of 9 objectives: just beyond what is done exactly. Left as they are, the larger scale is 97 % off."""
    points = np.abs(np.random.default_rng(0).normal(size=(65, 9)))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    reference = np.full(9, -0.3)
    points[:, 2] *= scale
    reference[2] *= scale
    value, exact = metrics.hypervolume_estimate(points, reference)
    assert not exact
    assert value == pytest.approx(metrics.hypervolume(points, reference), rel=0.005)


pairs = st.integers(1, 4).flatmap(
    lambda r: st.tuples(
        *[hnp.arrays(np.float64, st.tuples(st.integers(1, 8), st.just(r)), elements=st.integers(-4, 6))] * 2
    )
)


@settings(deadline=None, max_examples=50)
@given(pairs)
def test_measures_against_a_front_are_those_of_loops(pair):
    points, front = pair
    short = [[f - p for p in points] for f in front]
    assert metrics.igd(points, front) == pytest.approx(np.mean([min(map(np.linalg.norm, row)) for row in short]))
    plus = [min(float(np.linalg.norm(np.maximum(d, 0))) for d in row) for row in short]
    assert metrics.igd_plus(points, front) == pytest.approx(np.mean(plus))
    assert metrics.epsilon_additive(points, front) == max(min(max(d) for d in row) for row in short)
    preferences = equally_spaced_weights(points.shape[1], 7)
    best, known = ([max(float(w @ p) for p in some) for w in preferences] for some in (points, front))
    assert metrics.expected_utility(points, preferences) == pytest.approx(np.mean(best))
    loss = max(k - b for k, b in zip(known, best, strict=True))
    assert metrics.maximum_utility_loss(points, front, preferences) == pytest.approx(loss)


def test_measures_of_a_front_that_is_better():
    front = [[0, 3], [2, 2], [3, 0]]
    better = np.add(front, 1)
    assert metrics.igd(better, front) > 0
    assert metrics.igd_plus(better, front) == 0
    assert metrics.epsilon_additive(better, front) == -1
    assert metrics.maximum_utility_loss(better, front, equally_spaced_weights(2, 5)) == -1


ONE, TWO, NONE = [[1.0]], [[1.0, 2.0]], np.zeros((0, 2))


@pytest.mark.parametrize("measure", [metrics.igd, metrics.igd_plus, metrics.epsilon_additive])
@pytest.mark.parametrize(
    ("points", "front", "message"),
    [
        (NONE, TWO, "at least one of the points"),  # moocore: a distance of 0
        (TWO, NONE, "at least one of the known front's points"),
        (TWO, ONE, "known front's points have 1 columns, the points 2 objectives"),
        (TWO, [[np.nan, 0]], "must be finite"),
    ],
)
def test_sets_that_cannot_be_compared(measure, points, front, message):
    with pytest.raises(UserError, match=message):
        measure(points, front)


@pytest.mark.parametrize(
    ("points", "preferences", "message"),
    [
        (NONE, TWO, "at least one of the points"),
        (TWO, NONE, "at least one of the preferences"),
        (TWO, ONE, "preferences have 1 columns, the points 2 objectives"),
    ],
)
def test_utilities_of_nothing(points, preferences, message):
    with pytest.raises(UserError, match=message):
        metrics.expected_utility(points, preferences)
    with pytest.raises(UserError, match=message):
        metrics.maximum_utility_loss(points, TWO, preferences)


def test_a_hypervolume_of_zero_is_explained():
    explain = metrics.explain_no_hypervolume
    points, names = [[1.0, -30.0], [3.0, -40.0]], ("treasure", "time")
    assert explain(points, [0, -50], names) is None
    assert explain(points, [0, -25], names) == (
        "the hypervolume is 0, as no policy exceeds -25 in time (best -30); a reference point below all of them: 0 -41"
    )
    assert "exceeds 5 in treasure (best 3) or -25 in time (best -30); " in explain(points, [5, -25], names, "object")
    apart = explain(points, [2, -35], names)
    assert "no policy exceeds the reference point in all objectives at once; " in apart
    for reference in ([0, -25], [5, -25], [2, -35], [1e6, 1e6]):
        told = explain(points, reference, names).rpartition(": ")[2]
        assert metrics.hypervolume(points, [float(x) for x in told.split()]) > 0
    for alone in ([[0.0, 5.0]], [[1e6, 1e-7], [1e6 + 1e-3, 1e-8]]):
        told = explain(alone, alone[0], names).rpartition(": ")[2]
        assert metrics.hypervolume(alone, [float(x) for x in told.split()]) > 0
