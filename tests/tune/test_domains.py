"""Search spaces: declared for every agent, changed by YAML and flags, drawn from within their bounds."""

import dataclasses

import numpy as np
import pytest

from morl import search_space
from morl.errors import UserError
from morl.registry import agent_specs, load
from morl.search_space import Choice, Integer, Parameter, Real, log_real
from morl.tune.searchers import OptunaSearcher

OURS = {name: spec for name, spec in agent_specs().items() if spec.entry_point.startswith("morl.agents")}


@pytest.mark.parametrize("name", OURS)
def test_every_agent_takes_what_its_space_proposes(name):
    """Draw fifty points from each space: none is refused, every setting is drawn, and the defaults are in the space.

    Settings that depend on one which is not searched are drawn only where that one is chosen.
    """
    pytest.importorskip("optuna")
    spec = OURS[name]
    space, config = load(spec.space), load(spec.config)()
    own = dataclasses.asdict(config)
    search_space.checked(space, own, "space")
    assert all(own[setting] in parameter.domain for setting, parameter in space.items())
    searcher = OptunaSearcher("random", space, own, 0)
    seen = set()
    for number in range(50):
        point = searcher.propose(number)
        dataclasses.replace(config, **point)
        assert all(value in space[setting].domain for setting, value in point.items())
        seen |= point.keys()
    idle = {
        setting
        for setting, parameter in space.items()
        if any(name not in space and own[name] not in values for name, values in parameter.when.items())
    }
    assert seen == space.keys() - idle


def test_a_space_survives_being_written_and_read():
    for spec in OURS.values():
        space = load(spec.space)
        again, fixed = search_space.overridden({}, search_space.plain(space), "there")
        assert fixed == {}
        assert {n: (p.domain, dict(p.when)) for n, p in again.items()} == {
            n: (p.domain, dict(p.when)) for n, p in space.items()
        }


def test_conditions_decide_what_is_chosen():
    space = {
        "kind": Parameter(Choice(("a", "b"))),
        "only_b": Parameter(Real(0, 1), when={"kind": ("b",), "fixed": (1,)}),
    }
    settings = {"kind": "a", "only_b": 0.5, "fixed": 1}
    assert search_space.walk(space, settings, lambda name, _: {"kind": "b"}.get(name, 0.1)) == {
        "kind": "b",
        "only_b": 0.1,
    }
    assert search_space.walk(space, settings, lambda name, _: "a") == {"kind": "a"}
    assert search_space.walk(space, {**settings, "fixed": 2}, lambda name, _: "b") == {"kind": "b"}


def test_changes_search_fix_and_leave_alone():
    space = {
        "rate": Parameter(log_real(1e-4, 1e-1), live=True),
        "size": Parameter(Choice((1, 2))),
        "x": Parameter(Real(0, 1)),
    }
    changes = {"rate": {"log": ["1e-3", 1e-2]}, "size": 4, "x": None, "new": {"int": [2, 8]}}
    changed, fixed = search_space.overridden(space, changes, "there")
    assert changed == {"rate": Parameter(log_real(1e-3, 1e-2), live=True), "new": Parameter(Integer(2, 8))}
    assert fixed == {"size": 4}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"log": [0, 1]}, "above 0"),
        ({"real": [2, 1]}, "below the highest"),
        ({"real": [1]}, r"\[low, high\]"),
        ({"real": ["many", 1]}, "not a number"),
        ({"int": [1.5, 3]}, "whole number"),
        ({"choice": [1]}, "at least two"),
        ({"choice": [1, 1]}, "once"),
        ({"normal": [0, 1]}, "real, log, int, int_log, choice"),
        ({"real": [0, 1], "int": [0, 1]}, "a domain is one of"),
        ({"real": [0, 1], "when": 3}, "when takes"),
        ({"choice": [{}, 1]}, "true or false"),
    ],
)
def test_a_domain_that_is_none_is_one_line(change, says):
    with pytest.raises(UserError, match=f"^there: x.*{says}"):
        search_space.overridden({}, {"x": change}, "there")


def test_conditions_look_back():
    space = {"late": Parameter(Real(0, 1), when={"kind": ("a",)}), "kind": Parameter(Choice(("a", "b")))}
    with pytest.raises(UserError, match="late depends on kind, which has to come before"):
        search_space.checked(space, {"late": 0, "kind": "a"}, "space")
    with pytest.raises(UserError, match="unknown setting 'knd'; did you mean kind"):
        search_space.checked({"knd": Parameter(Real(0, 1))}, {"kind": 0}, "space")


def test_random_points_are_even_in_the_logarithm():
    pytest.importorskip("optuna")
    searcher = OptunaSearcher("random", {"x": Parameter(log_real(1e-4, 1.0))}, {"x": 0.1}, 3)
    values = np.log10([searcher.propose(i)["x"] for i in range(200)])
    assert abs(values.mean() + 2) < 0.3
    assert abs(values.std() - 4 / np.sqrt(12)) < 0.2
