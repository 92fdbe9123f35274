"""Known fronts of environments, stored yardsticks, and that every registered environment has them."""

import json
from importlib import resources

import numpy as np
import pytest

import morl
from morl.ops.metrics import hypervolume
from morl.ops.pareto import non_dominated
from morl.registry import env_specs
from morl.yardsticks import stored as storage
from morl.yardsticks.coverage import tight_reference
from morl.yardsticks.fronts import known_front
from morl.yardsticks.stored import NOTHING, stored

NOT_HERE = {"mo-highway-v0", "mo-highway-fast-v0"}  # highway-env cannot be installed beside pygame
FILES = {file.name: file.read_text() for file in (resources.files("morl.yardsticks") / "data").iterdir()}
ENTRIES = [
    pytest.param(name, entry, found, id=f"{name} {entry['kwargs']} {found['gamma']}")
    for name, text in FILES.items()
    for entry in json.loads(text)["settings"]
    for found in entry["discounts"]
]


def test_every_registered_environment_has_anchors_at_its_discount():
    for id, spec in ours().items():
        if id not in NOT_HERE:
            anchors = stored(id, {}, spec.gamma).anchors
            assert len(anchors) >= 2, id
            assert all(len(anchor.returns) == len(spec.objectives) for anchor in anchors), id


def ours():
    """Return the library's own environments, without those that other tests have registered."""
    specs = env_specs(plug_ins=False)
    return {id: spec for id, spec in specs.items() if (spec.entry_point or "morl.").startswith("morl.")}


def test_they_are_small():
    assert sum(map(len, FILES.values())) < 2**20
    assert set(FILES) == {f"{id}.json" for id in ours()} - {f"{id}.json" for id in NOT_HERE}


@pytest.mark.parametrize(("name", "entry", "found"), ENTRIES)
def test_what_is_stored_is_whole(name, entry, found):
    for numbers in found["anchors"].values():
        assert np.isfinite([numbers["returns"], numbers["stderr"]]).all()
    if "front" in found:
        points = np.concatenate([np.array(points) for points in found["front"]["sources"].values()])
        assert np.isfinite(points).all()
        assert len(points) <= 200
        assert non_dominated(points, keep_duplicates=False).all()
        assert found["front"]["kind"] in ("published", "best")


@pytest.mark.parametrize(
    ("id", "kwargs", "gamma", "kind", "reference", "volume"),
    [  # exact hypervolumes at the published reference points
        ("deep-sea-treasure-v0", {}, 1.0, "true", [0, -50], 994.3),
        ("deep-sea-treasure-v0", {"map": "concave"}, 1.0, "true", [0, -50], 4255.0),
        ("fruit-tree-v0", {}, 0.99, "true", [-1] * 6, 46034.80),
        ("resource-gathering-v0", {}, 1.0, "true", [-1] * 3, 4.0),
        ("minecart-v0", {}, 0.98, "published", [-1, -1, -200], 668.18),
        ("minecart-v0", {}, 0.99, "published", [-1, -1, -200], 763.52),
        ("minecart-deterministic-v0", {}, 1.0, "published", [-1, -1, -200], 944.93),
    ],
)
def test_known_fronts(id, kwargs, gamma, kind, reference, volume):
    env = morl.make(id, **kwargs)
    known = known_front(env, gamma, len(env.objectives), id, kwargs)
    assert known.kind == kind
    assert hypervolume(known.points, reference) == pytest.approx(volume, rel=1e-5)
    np.testing.assert_array_equal(known.tight_reference, tight_reference(known.points))
    assert (known.points > known.tight_reference).all()


def test_coverage_sets_stand_in_for_fronts():
    known = known_front(morl.make("fishwood-v0"), 1.0, 2, "fishwood-v0")
    assert (known.kind, known.exact) == ("coverage", True)
    np.testing.assert_allclose(known.tight_reference, [0 - 1.99, 0.9 - 17.91])


def test_single_bests_by_hand():
    env = morl.make("deep-sea-treasure-v0")
    known = known_front(env, 1.0, 2, env.id)
    np.testing.assert_allclose(known.single_bests, [[23.7, -19], [0.7, -1]])
    known = known_front(morl.make("resource-gathering-v0"), 1.0, 3)
    assert known.single_bests.tolist() == [[0, 1, 1]]  # best in all


def test_what_was_not_measured_has_no_yardstick(monkeypatch):
    assert stored("minecart-v0", {}, 0.5) is NOTHING
    assert stored("minecart-v0", {"capacity": 3}, 0.98) is NOTHING
    assert stored("module:nothing-v0", {}, 0.98) is NOTHING
    assert stored("<Thermostat>", {}, 0.98) is NOTHING
    assert known_front(object(), 0.5, 2, "minecart-v0") is None
    assert known_front(None, 0.98, 2, "minecart-v0") is None  # of other objectives
    assert len(known_front(None, 0.98, 3, "minecart-v0").points) == 20


def test_keywords_are_equal_as_tuples_or_lists(monkeypatch):
    front = {"kind": "best", "sources": {"x": [[1.0, 2.0]], "y": [[2.0, 1.0]]}}
    entry = {"kwargs": {"sizes": [1, 2]}, "episodes": 3, "discounts": [{"gamma": 1.0, "front": front}]}
    monkeypatch.setattr(storage, "_entries", lambda name: [entry])
    for sizes in ((1, 2), [1, 2]):
        assert stored("any-v0", {"sizes": sizes}, 1).front.points.tolist() == [[2, 1], [1, 2]]
        assert stored("any-v0", {"sizes": sizes}, 1).front.source == "x; y"
    assert stored("any-v0", {"sizes": [2, 1]}, 1) is NOTHING
