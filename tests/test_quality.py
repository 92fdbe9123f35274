"""Every registered metric of a front: numbers by hand, columns in their order, and metrics of other packages."""

import math
import sys
from types import ModuleType

import numpy as np
import pytest

import morl
from morl import registry
from morl.errors import UserError
from morl.ops import metrics
from morl.ops.preferences import equally_spaced_weights
from morl.quality import front_metrics, measure, objective_metrics
from morl.registry import MetricSpec, metric_specs

POINTS = np.array([[0.0, 3.0], [2.0, 2.0], [3.0, 0.0]])
KNOWN = np.array([[0.0, 4.0], [3.0, 3.0], [4.0, 0.0]])
REFERENCE = np.array([-1.0, -1.0])
WEIGHTS = equally_spaced_weights(2, 100)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """A registry of this test's own, without other packages."""
    metric_specs()
    monkeypatch.setattr(registry, "_METRICS", dict(registry._METRICS))
    monkeypatch.setattr(registry, "_asked", set())
    monkeypatch.setattr(registry, "entry_points", lambda group: [])


@pytest.fixture
def module(monkeypatch):
    """A module of somebody else's, with functions in it."""
    made = ModuleType("somebody_elses")
    made.largest = lambda points: points.max()
    made.nearly = lambda points, reference_point: (float(points[0] @ reference_point), False)
    made.broken = lambda points: 1 / 0
    made.no_number = lambda points: "many"
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


def spec_of(function, sign=1, **more):
    return MetricSpec(function, function[:3].upper(), function, sign, f"somebody_elses:{function}", **more)


def given(points=POINTS, known=KNOWN):
    return measure(points, metric_specs().values(), reference_point=REFERENCE, preferences=WEIGHTS, known_front=known)


def test_objectives_by_hand():
    assert objective_metrics(POINTS, ("treasure", "time left")) == {
        "return/treasure/max": 3,
        "return/treasure/mean": pytest.approx(5 / 3),
        "return/treasure/min": 0,
        "return/time left/max": 3,
        "return/time left/mean": pytest.approx(5 / 3),
        "return/time left/min": 0,
    }


def test_metrics_by_hand():
    values = given()
    assert values["hypervolume"] == 4 + 3 * 2 + 1 * 1
    assert values["hypervolume_exact"] == 1
    assert values["epsilon_additive"] == pytest.approx(1 / 4)  # the range of the known front is 4 and 4
    assert values["cardinality"] == 3
    assert values["igd_plus"] == pytest.approx((1 + math.hypot(1, 1) + 1) / 3 / 4)
    # (3, 3) against (2, 2) under equal weights, and corners that lack 1 as well
    assert values["maximum_utility_loss"] == pytest.approx(1 / 4)
    loss = metrics.expected_utility(KNOWN, WEIGHTS) - metrics.expected_utility(POINTS, WEIGHTS)
    assert values["mean_utility_loss"] == pytest.approx(loss / 4)
    assert values["expected_utility"] == metrics.expected_utility(POINTS, WEIGHTS)
    assert values["sparsity"] == metrics.sparsity(POINTS)


def test_without_a_known_front_the_others_are_left():
    assert list(given(known=None)) == [
        "hypervolume",
        "hypervolume_exact",
        "expected_utility",
        "sparsity",
        "cardinality",
    ]


def test_columns_of_a_training():
    """Check that metrics of every run come first, in the order they always had."""
    old = ["hypervolume", "hypervolume_exact", "expected_utility", "sparsity", "front_size"]
    assert list(front_metrics(POINTS, REFERENCE, None, WEIGHTS)) == old
    values = front_metrics(POINTS, REFERENCE, KNOWN, WEIGHTS)
    new = [
        *("igd_plus", "hypervolume_tight", "hypervolume_tight_exact", "hypervolume_box", "hypervolume_box_exact"),
        *("covered_share", "largest_gap", "epsilon_additive", "maximum_utility_loss", "mean_utility_loss"),
    ]
    assert list(values) == [*old, "hypervolume_share", *new]
    assert values["front_size"] == 3
    assert values["hypervolume_share"] == 11 / metrics.hypervolume(KNOWN, REFERENCE)
    assert front_metrics(POINTS, REFERENCE, KNOWN, WEIGHTS, true_hypervolume=22.0)["hypervolume_share"] == 0.5
    assert front_metrics(POINTS, REFERENCE, None, WEIGHTS, known_front=KNOWN)["covered_share"] == 0
    far = front_metrics(POINTS, REFERENCE + 9, KNOWN, WEIGHTS)
    assert "hypervolume_share" not in far  # the true front is no better than the reference point


def test_a_metric_is_one_registration(module):
    morl.register_metric(spec_of("largest"))
    morl.register_metric(spec_of("nearly", -1, needs=("reference_point",), during_training=False))
    values = given()
    assert values["largest"] == 3
    assert (values["nearly"], values["nearly_exact"]) == (-3, 0)
    assert list(front_metrics(POINTS, REFERENCE, None, WEIGHTS))[-1] == "largest"


@pytest.mark.parametrize(
    ("function", "why"),
    [
        ("broken", r"ZeroDivisionError: division by zero"),
        ("no_number", r"ValueError: could not convert"),
        ("missing", r"cannot load 'somebody_elses:missing'"),
    ],
)
def test_one_that_fails_is_not_the_end(module, function, why):
    morl.register_metric(spec_of(function))
    with pytest.warns(UserWarning, match=rf"metric {function} \(somebody_elses:{function}\) failed: {why}"):
        values = given()
    assert math.isnan(values.pop(function))
    assert all(map(math.isfinite, values.values()))


def test_an_error_of_the_library_is_one():
    with pytest.raises(UserError, match="there must be at least one"):
        given(points=np.zeros((0, 2)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "not a name"}, "must be letters, digits and '_'"),
        ({"sign": 2}, "sign must be 1, 0 or -1, not 2"),
        ({"needs": ("reference",)}, "unknown need of metric mine 'reference'; did you mean .*reference_point"),
    ],
)
def test_specs_that_cannot_be(change, message):
    fields = {"name": "mine", "label": "M", "summary": "", "sign": 1, "entry_point": "a:b", **change}
    with pytest.raises(UserError, match=message):
        MetricSpec(**fields)


@pytest.mark.parametrize("name", ["hypervolume", "front_size", "seconds"])
def test_names_that_are_taken(name):
    with pytest.raises(UserError, match=rf"metric '{name}' is already there .*needs a new name"):
        morl.register_metric(MetricSpec(name, "M", "", 1, "a:b"))


def test_packages_are_asked_once(monkeypatch, module):
    class EntryPoint:
        name, value, dist = "one", "package:SPEC", None

        def load(self):
            return spec_of("largest")

    asked = []
    monkeypatch.setattr(registry, "entry_points", lambda group: asked.append(group) or [EntryPoint()])
    assert "largest" in metric_specs()
    metric_specs()
    assert asked == ["morl.metrics"]
