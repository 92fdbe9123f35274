"""Fronts: what is kept, what is written, and policies that act."""

import csv
import io
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
from gymnasium import spaces

import morl
from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.config import PPOConfig
from morl.errors import UserError
from morl.registry import AliveBonus
from morl.runs import files
from morl.runs.directory import check_fronts, check_objects, read_fronts
from morl.runs.front import evaluation_table, from_evaluation
from morl.runs.front_csv import evaluations_csv, objectives_of, objects_csv, to_csv
from morl.spaces import Observations
from morl.types import Evaluation
from morl.viz import plotting

ENV = morl.make("deep-sea-treasure-v0")
LEARNER = PPO(PPOConfig(hidden=(8,)), ENV.observation_space, ENV.action_space, 2, 0.9, 1)


def front(discounted, objectives=("treasure", "time")):
    discounted = np.asarray(discounted, float)  # (N, E, R)
    number, _, size = discounted.shape
    preferences = np.full((number, size), 1 / size)
    policies = [LEARNER.policy(LEARNER.init(jax.random.key(i))) for i in range(number)]
    params = jax.tree.map(lambda *x: np.stack(x), *policies)
    lengths = np.tile(np.arange(1, number + 1)[:, None], (1, discounted.shape[1]))
    return from_evaluation(
        Evaluation(discounted, 2 * discounted, lengths),
        params,
        preferences,
        objectives=objectives,
        gamma=0.9,
        reference_point=np.full(size, -10.0),
        learner=LEARNER,
        observations=Observations(ENV.observation_space),
        action_space=spaces.Discrete(2),
    )


SAMPLES = [
    [[1.0, -3.0], [3.0, -3.0]],
    [[0.0, -4.0], [0.0, -4.0]],
    [[5.0, -9.0], [5.0, -7.0]],
    [[2.0, -3.0], [2.0, -3.0]],
]


def test_dominated_and_equal_policies_go_and_numbers_are_means():
    """The second is dominated by the first; the fourth has the same mean as the first, which came before it."""
    kept = front(SAMPLES)
    np.testing.assert_allclose(kept.returns, [[5.0, -8.0], [2.0, -3.0]])
    np.testing.assert_allclose(kept.stderr, [[0.0, 1.0], [1.0, 0.0]])  # deviation sqrt(2) over sqrt(2) episodes
    np.testing.assert_allclose(kept.undiscounted, 2 * kept.returns)
    np.testing.assert_array_equal(kept.length, [3, 1])
    assert kept.episodes == 2
    assert kept.hypervolume() == pytest.approx(
        15 * 2 + 12 * 5
    )  # to (-10, -10): 15 x 2, and 12 x 7 less what they share
    weights = LEARNER.init(jax.random.key(2)).params.actor.layers[0].weight
    np.testing.assert_array_equal(kept.params.actor.layers[0].weight[0], weights)


def test_assignment_maximises_the_weighted_return():
    kept = front(SAMPLES)
    assert kept.assign([1.0, 0.0]) == 0
    assert kept.assign([0.0, 1.0]) == 1
    assert kept.policy([0.6, 0.4]).id == kept.assign([0.6, 0.4]) == 1  # 3 - 3.2 < 1.2 - 1.2
    with pytest.raises(UserError, match="a preference here has 2 weights"):
        kept.policy([1.0, 0.0, 0.0])


def test_a_policy_takes_one_observation_or_a_batch():
    policy = front(SAMPLES).policy([1.0, 0.0])
    batch = np.array([[0, 0], [3, 4], [5, 6], [9, 9]], np.int32)
    actions = policy(batch)
    assert actions.shape == (4,)
    np.testing.assert_array_equal(actions, [policy(obs) for obs in batch])
    assert ENV.action_space.contains(policy(batch[0]))
    sampled = {int(policy(batch[0], key=key)) for key in jax.random.split(jax.random.key(0), 50)}
    assert len(sampled) > 1
    np.testing.assert_array_equal(policy(batch, key=jax.random.key(3)), policy(batch, key=jax.random.key(3)))


@pytest.mark.parametrize("point", [[0.0, -9.0], (0, -9), "0 -9", "0,-9", np.float32([0, -9])])
def test_another_reference_point(point):
    """Two points above (0, -9): 5 x 1 and 2 x 6, less the 2 x 1 that they share."""
    kept = front(SAMPLES)
    own = kept.hypervolume()
    assert kept.hypervolume(point) == pytest.approx(5 + 12 - 2)
    assert kept.with_reference_point(point).describe_hypervolume() == "hypervolume 15 (γ = 0.9, reference 0 -9)"
    assert (kept.hypervolume(), kept.with_reference_point(None)) == (own, kept)


@pytest.mark.parametrize("point", [[0.0], [0.0, 0.0, 0.0], [0.0, np.inf], 0.0, ""])
def test_reference_points_of_the_wrong_kind(point):
    with pytest.raises(UserError, match="has 2 finite numbers, one for each of treasure, time, not"):
        front(SAMPLES).hypervolume(point)


def test_a_row_for_each_policy_evaluated_again():
    """Row 1 is dominated and row 3 a copy: they are written, and not of the front."""
    kept = front(SAMPLES)
    assert kept.evaluated == (2, 0)
    samples = np.asarray(SAMPLES)
    table = evaluation_table(Evaluation(samples, 2 * samples, np.ones(samples.shape[:2])), np.full((4, 2), 0.5))
    header, *rows = csv.reader(io.StringIO(evaluations_csv({7: kept}, {7: table}, 11)))
    named = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(row["seed"], row["id"], row["in_front"]) for row in named] == [
        ("7", str(i), kept) for i, kept in enumerate("1010")
    ]
    assert {(row["episodes"], row["evaluation_seed"], row["gamma"]) for row in named} == {("2", "11", "0.9")}
    assert [float(row["treasure"]) for row in named] == [2.0, 0.0, 5.0, 2.0]
    assert [float(row["time_stderr"]) for row in named] == [0.0, 0.0, 1.0, 0.0]
    assert {row["trained_for_time"] for row in named} == {"0.5"}
    assert [row["best_for_time_to"] for row in named] == ["1.0", "nan", "0.375", "nan"]


@pytest.mark.parametrize("changes", [{}, {"conditional": True}, {"without_bonus": np.zeros((2, 2))}], ids=str)
def test_csv_reads_back_exactly(changes, tmp_path):
    fronts = {3: replace(front(np.random.default_rng(0).normal(size=(5, 4, 2))), **changes)}
    rows = len(fronts[3])
    if "without_bonus" in changes:
        fronts[3] = replace(fronts[3], without_bonus=np.arange(2.0 * rows).reshape(rows, 2) / 3)
    if not changes:
        fronts[8] = front(SAMPLES)
    (tmp_path / "front.csv").write_text(to_csv(fronts))
    read = read_fronts(tmp_path / "front.csv", ("treasure", "time"))
    assert list(read) == list(fronts)
    for seed, one in fronts.items():
        assert len(read[seed]) == 7 + ("without_bonus" in changes)
        for name, values in read[seed].items():
            np.testing.assert_array_equal(values, getattr(one, "best_for" if name == "ranges" else name))
    header = (tmp_path / "front.csv").read_text().splitlines()[0].split(",")
    assert header[2] == ("preference_treasure" if "conditional" in changes else "trained_for_treasure")
    assert objectives_of(header) == ("treasure", "time")


def test_the_preferences_a_policy_is_best_for_are_not_those_it_was_trained_for():
    """Returns (5, −8) and (2, −3): equal at 3 w = 5 (1 − w), so at w = 0.625; both were trained for ½."""
    kept = front(SAMPLES)
    np.testing.assert_allclose(kept.best_for, [[[0.625, 1], [0, 0.375]], [[0, 0.625], [0.375, 1]]])
    for weight in (0.6, 0.65):
        row = kept.assign([weight, 1 - weight])
        assert kept.best_for[row, 0, 0] <= weight <= kept.best_for[row, 0, 1]
    header, *rows = csv.reader(io.StringIO(to_csv({0: kept})))
    named = [dict(zip(header, row, strict=True)) for row in rows]
    assert [float(row["best_for_treasure_from"]) for row in named] == kept.best_for[:, 0, 0].tolist()
    assert [float(row["trained_for_treasure"]) for row in named] == [0.5, 0.5]


def test_returns_without_the_bonus_for_being_alive():
    """Three episodes of 3, 2 and 1 steps, the first with a fall: 2, 2 and 1 steps are paid, 5 each, at discount 0.5."""
    evaluation = Evaluation(
        np.full((1, 3, 2), 10.0),
        np.full((1, 3, 2), 20.0),
        np.array([[3, 2, 1]]),
        terminated=np.array([[True, False, False]]),
    )
    for at_fall, paid in ((False, 7.5 + 7.5 + 5), (True, 8.75 + 7.5 + 5)):
        table = evaluation_table(evaluation, np.ones((1, 2)) / 2, AliveBonus(5.0, at_fall=at_fall), 0.5)
        np.testing.assert_allclose(table["without_bonus"], [[10 - paid / 3] * 2])
    undiscounted = evaluation_table(evaluation, np.ones((1, 2)) / 2, AliveBonus(5.0), 1.0)
    np.testing.assert_allclose(undiscounted["without_bonus"], [[10 - 25 / 3] * 2])
    assert "without_bonus" not in evaluation_table(evaluation, np.ones((1, 2)) / 2)


def damaged(line, number, text):
    """Return a change of a table: another text in a cell of a line, or the table without that line."""

    def change(table):
        lines = table.splitlines(keepends=True)
        if text is None:
            del lines[line]
            return "".join(lines)
        cells = lines[line].split(",")
        cells[number] = text
        lines[line] = ",".join(cells)
        return "".join(lines)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table[: len(table) // 2], "rows of other lengths than its first"),
        (damaged(-1, None, None), "other preferences of seed 8"),
        (damaged(1, 4, "0.25"), "other returns of seed 3"),
        (damaged(2, 5, "nan"), "other returns of seed 3"),
        (damaged(1, 1, "7"), "lost its order"),
        (damaged(0, 3, "other"), "does not hold a front of the objectives treasure, time"),
        (lambda table: table + table.splitlines()[1].replace("3,", "9,", 1) + "\n", "a seed 9 that was not written"),
        (lambda table: "", "does not hold a front"),
    ],
)
def test_a_table_that_is_not_read_back_as_the_fronts(change, message, tmp_path):
    fronts = {3: front([[[0, 1]], [[1, 0]], [[2, -1]]]), 8: front(SAMPLES)}
    (tmp_path / "front.csv").write_text(to_csv(fronts))
    check_fronts(tmp_path / "front.csv", fronts)  # standard errors of one episode are NaN
    (tmp_path / "front.csv").write_text(change(to_csv(fronts)))
    with pytest.raises(OSError, match=message):
        check_fronts(tmp_path / "front.csv", fronts)


def test_objects_are_read_back_whatever_their_texts(tmp_path):
    """Carriage returns, which Python's text files change, and what a CSV quotes."""
    one = replace(front(SAMPLES), objects=('a\rb,"\r\n"', "ü 日本\n"))
    files.write_text(tmp_path / "objects.csv", objects_csv({8: one}), partial(check_objects, fronts={8: one}))
    with pytest.raises(OSError, match="other objects than were written"):
        check_objects(tmp_path / "objects.csv", {8: replace(one, objects=("a", "b"))})


@pytest.mark.parametrize(("size", "panels"), [(2, 1), (3, 3), (6, 1)])
def test_pictures_show_every_policy(size, panels, tmp_path):
    rng = np.random.default_rng(0)
    one = front(rng.dirichlet(np.ones(size), (8, 3)), tuple(f"objective {i}" for i in range(size)))
    figure = plotting.draw_front({0: one, 1: one}, "title", one.returns if size < 4 else None)
    assert len(figure.axes) == panels
    axes = figure.axes[0]
    drawn = sum(
        len(c.get_offsets()) for c in axes.collections if hasattr(c, "get_offsets") and len(c.get_offsets()) > 1
    )
    lines = sum(len(line.get_xdata()) == size for line in axes.lines)
    assert (lines if size > 3 else drawn) >= 2 * len(one)
    pixels = plotting.save(figure, tmp_path / "front.png")
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    assert pixels.ndim == 3
    assert pixels.std() > 5  # something is drawn
