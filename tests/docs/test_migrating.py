"""The tables of docs/migrating.md call what there is, in both libraries, and their numbers are ours.

What is held against morl-baselines needs it beside the tests, in the versions of benchmarks/peers/requirements.txt;
nothing here depends on it, and without it those are skipped.
"""

import ast
import contextlib
import importlib
import inspect
import re
import warnings
from functools import reduce
from pathlib import Path

import gymnasium
import mo_gymnasium
import numpy as np
import pytest

import morl
from morl.agents.gmorl import GMORLConfig
from morl.envs.gymnasium import wrappers
from morl.ops import metrics, pareto, preferences
from morl.registry import agent_spec

PAGE = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text()


def column(section, index):
    """The Python of one column of a section's table, each piece parsed; what is no Python is left out."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1:-1][index] for line in re.findall(r"^\|.*\|$", text, re.M)[2:]]
    trees = []
    for code in re.findall(r"`([^`]+)`", " ".join(cells)):
        try:
            trees.append(ast.parse(code, mode="eval"))
        except SyntaxError:  # a command or a path
            continue
    return trees


def bound(trees, names):
    """Check calls against their functions' signatures, and that named classes exist; return the number of calls."""
    number = 0
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Name) and node.id[0].isupper():
            assert node.id in names, node.id
        if not isinstance(node, ast.Call):
            continue
        root = node.func
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(root, ast.Call):  # of what a call returns
            continue
        name, *attributes = ast.unparse(node.func).split(".")
        function = reduce(getattr, attributes, names[name])
        given = inspect.signature(function).bind(*node.args, **{keyword.arg: None for keyword in node.keywords})
        for name, argument in given.arguments.items():
            if isinstance(argument, ast.Name):  # positions are told by the names that parameters have
                assert argument.id == name, ast.unparse(node)
        number += 1
    return number


def blank(kind):
    """An object whose methods are looked at and not called."""
    return object.__new__(kind)


class Trained:
    """A run as far as the table looks at it; the page trains one."""

    path = Path()
    front = blank(morl.Front)


def test_our_calls_can_be_made():
    for module in (
        "envs.gymnasium.vector_statistics",
        "envs.gymnasium.wrappers",
        "ops.metrics",
        "ops.pareto",
        "ops.preferences",
    ):
        importlib.import_module(f"morl.{module}")
    names = {"morl": morl, "gymnasium": gymnasium, "run": Trained, "GMORLConfig": GMORLConfig}
    assert bound(column("MO-Gymnasium", 1), names) >= 5
    assert bound(column("morl-baselines", 1), names) >= 20


@pytest.mark.filterwarnings("ignore:.*precision lowered by casting:UserWarning")
def test_calls_of_mo_gymnasium_can_be_made():
    theirs = {**vars(mo_gymnasium.wrappers.vector), **vars(mo_gymnasium.wrappers)}
    names = {**theirs, "mo_gymnasium": mo_gymnasium, "env": mo_gymnasium.make("deep-sea-treasure-v0")}
    assert bound(column("MO-Gymnasium", 0), names) >= 8


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("morl.ops.metrics.hypervolume(points, reference_point)", None),
        ("morl.ops.metrics.hypervolume(points, ref_point=point)", TypeError),
        ("morl.ops.metrics.volume(points, point)", AttributeError),
        ("morl.ops.metrics.hypervolume(reference_point, points)", AssertionError),
        ("run.front.policy()", TypeError),
        ("Hypervolume", AssertionError),
    ],
)
def test_calls_that_cannot_be_made_are_seen(call, error):
    trees, names = [ast.parse(call, mode="eval")], {"morl": morl, "run": Trained}
    with contextlib.nullcontext() if error is None else pytest.raises(error):
        bound(trees, names)


@pytest.mark.parametrize("name", ["LinearReward", "MONormalizeReward", "MOClipReward", "MORecordEpisodeStatistics"])
def test_wrappers_have_the_same_arguments(name):
    theirs, ours = (inspect.signature(getattr(module, name)) for module in (mo_gymnasium.wrappers, wrappers))
    assert [(x.name, x.default) for x in ours.parameters.values()] == [
        (x.name, x.default) for x in theirs.parameters.values()
    ]


def test_fronts_of_mo_gymnasium_differ_as_the_page_says():
    theirs = {}
    for name in ("resource-gathering-v0", "deep-sea-treasure-v0"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs[name] = np.array(mo_gymnasium.make(name).unwrapped.pareto_front(0.9))
    ours = {name: morl.make(name).true_front(0.9) for name in theirs}
    pair = (theirs["resource-gathering-v0"], ours["resource-gathering-v0"])
    gem = [points[(points[:, :2] == 0).all(axis=1)].max() for points in pair]  # the gem alone
    assert gem[0] / gem[1] == pytest.approx(0.9)
    treasures = theirs["deep-sea-treasure-v0"]
    assert (len(treasures), len(ours["deep-sea-treasure-v0"])) == (10, 3)
    kept = treasures[pareto.non_dominated(treasures)]
    np.testing.assert_allclose(sorted(kept.tolist()), sorted(ours["deep-sea-treasure-v0"].tolist()), rtol=1e-5)


def test_gmorls_preset_is_what_the_page_says():
    assert agent_spec("gmorl").protocol("far", "minecart-v0") == {
        "n_step": 10,
        "temperature": 0.2,
        "relabel_preferences": False,
    }
    assert "GMORLConfig(n_step=10, temperature=0.2, relabel_preferences=False)" in PAGE


# --- morl-baselines, where it is installed ----------------------------------------------------------------------------

MODULES = (
    "common.evaluation",
    "common.performance_indicators",
    "common.weights",
    "common.pareto",
    "multi_policy.envelope.envelope",
    "multi_policy.pgmorl.pgmorl",
    "multi_policy.morld.morld",
    "multi_policy.capql.capql",
    "multi_policy.gpi_pd.gpi_pd_continuous_action",
)


@pytest.fixture(scope="module")
def baselines():
    """Everything the modules of morl-baselines define, by name."""
    pytest.importorskip("morl_baselines")
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in MODULES:
            names.update(vars(importlib.import_module(f"morl_baselines.{module}")))
    return names


def test_calls_of_morl_baselines_can_be_made(baselines):
    names = {**baselines, "agent": blank(baselines["Envelope"])}
    assert bound(column("morl-baselines", 0), names) >= 20


def test_numbers_of_morl_baselines_are_ours(baselines):
    rng = np.random.default_rng(0)
    for size in (2, 3):
        sphere = np.abs(rng.normal(size=(20, size)))
        sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
        points = np.concatenate([sphere, 0.5 * sphere[:5], sphere[:5]])  # dominated ones, duplicates
        mask = baselines["get_non_dominated_inds"](points)
        assert mask.sum() == len(sphere)
        np.testing.assert_array_equal(pareto.non_dominated(points, keep_duplicates=False), mask)
        known, front = points[mask], np.concatenate([0.9 * sphere[5:12], sphere[12:14]])
        reference, weights = np.full(size, -2.0), np.array(baselines["equally_spaced_weights"](size, 20))
        pairs = {
            "hypervolume": (metrics.hypervolume(front, reference), (reference, front)),
            "sparsity": (metrics.sparsity(front), (front,)),
            "cardinality": (metrics.cardinality(known), (known,)),
            "expected_utility": (metrics.expected_utility(front, weights), (front, weights)),
            "igd": (metrics.igd(front, known), (known, front)),
            "maximum_utility_loss": (metrics.maximum_utility_loss(front, known, weights), (front, known, weights)),
        }
        for name, (ours, arguments) in pairs.items():
            assert ours == pytest.approx(baselines[name](*arguments)), name
        corners = np.array(baselines["extrema_weights"](size))
        np.testing.assert_array_equal(preferences.equally_spaced_weights(size, size), corners)


def test_convex_set_of_morl_baselines_keeps_what_is_best_for_nobody(baselines):
    bulge = np.array([[0.0, 3.0], [2.0, 2.0], [3.0, 0.0], [1.0, 1.0]])
    dent = np.array([[0.0, 3.0], [1.0, 1.0], [3.0, 0.0]])
    for points, extra in ((bulge, []), (dent, [[1.0, 1.0]])):
        ours = points[pareto.convex_coverage_set(points)].tolist()
        assert sorted(baselines["filter_convex_dominated"](points).tolist()) == sorted(ours + extra)
