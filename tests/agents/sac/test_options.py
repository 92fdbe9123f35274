"""Options of soft actor-critics: each learns the probes, and does what its name says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.sac.config import SACConfig
from morl.agents.sac.draws import drawn
from morl.agents.sac.types import ReplayRow
from morl.errors import UserError
from morl.ops.preferences import equally_spaced_weights
from tests.agents.sac.learning import SMALL, act, learn_together, learner_for
from tests.probes import Probe, experience

CROSSQ = {"critic_network": "batch_norm", "target_networks": False}
OPTIONS = {
    "layer_norm": {"critic_network": "layer_norm"},
    "residual": {"critic_network": "residual", "critic_hidden": (16, 16)},
    "crossq": CROSSQ,
    "no targets": {"critic_network": "layer_norm", "target_networks": False},
    "each objective": {"twin_minimum": "objective"},
    "prioritised": {"prioritised_replay": True},
    "all": {**CROSSQ, "prioritised_replay": True, "twin_minimum": "objective", "relabel_share": 0.8},
}
WEIGHTS = np.array([[1.0, 0.0], [0.75, 0.25], [0.5, 0.5], [0.0, 1.0]])
EACH = equally_spaced_weights(2, 8)
QUICK = ("all",)  # "all" has most of the others
TRIED = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in OPTIONS]


def values(learner, state, obs, action=None):
    """Return (N, K, R) of the first critic for even weights."""
    inputs = learner.networks.inputs(state.learning.obs_stats, jnp.asarray(obs, jnp.float32))
    preference = jnp.full((len(obs), 2), 0.5)
    return np.asarray(learner._twin_values(state.params.critics, inputs, action, preference))[0]


@pytest.mark.parametrize("option", TRIED)
def test_continuous_actions(option):
    """The best action of each preference, and the values of three actions; untrained, all are about 0."""
    relabel = {"relabel_preferences": "relabel_share" in OPTIONS[option]}
    learner, found = learn_together([("steer", 1e-3)], updates=300, **OPTIONS[option], **relabel)
    ((state, metrics),) = found.values()
    actions = [act(learner, state, weights)[0, 0] for weights in WEIGHTS]
    np.testing.assert_allclose(actions, WEIGHTS @ [0.6, -0.2], atol=0.15)
    at = np.array([-0.2, 0.2, 0.6])
    wanted = -((at[:, None] - np.array([0.6, -0.2])) ** 2)
    given = jnp.asarray(at, jnp.float32)[:, None] / 2  # of the box from -2 to 2
    np.testing.assert_allclose(values(learner, state, np.zeros((3, 2)), given)[:, 0], wanted, atol=0.2)
    assert metrics["critic_loss"][-20:].mean() < 0.02


@pytest.mark.parametrize("option", TRIED)
def test_discrete_actions(option):
    """The reward of the second step is discounted once; of two actions each preference has its own."""
    learner, found = learn_together([("delayed", 1e-3), ("choice", 1e-3)], **OPTIONS[option])
    (late, _), (choice, _) = found.values()
    np.testing.assert_allclose(values(learner, late, [[0, 0], [0, 1]])[:, 0], [[0.9, 1.8], [1, 2]], atol=0.15)
    taken = [int(act(learner, choice, w)[0]) for w in ((1.0, 0.0), (0.7, 0.3), (0.3, 0.7), (0.0, 1.0))]
    assert taken == [0, 0, 1, 1]


def begun(kind="choice", **changes):
    """Return a learner, its state with one rollout stored, and the rollout."""
    env = Probe(kind)
    learner = learner_for(env, 10, **changes)
    state = learner.init(jax.random.key(0))
    batch = experience(env, learner, state, EACH)
    return learner, learner._store(jax.tree.map(jnp.asarray, state), batch), batch


def draw_of(learner, stored, key):
    return drawn(learner.config, learner.num_objectives, stored, key)


def batch_of(learner, state, stored, seed=0):
    """Return drawn transitions."""
    return learner._batch(state.learning, stored.rows, draw_of(learner, stored, jax.random.key(seed)))


def fit_of(learner, state, targets):
    """Return the comparison of the critics of a state with targets by other networks."""
    batch = batch_of(learner, state, state.replay, 1)
    following = learner._policy_actions(state.params.actor, batch.next_inputs, batch.preference, jax.random.key(2))
    learning = state.learning._replace(targets=targets)
    return batch, learner._critic_loss(state.params.critics, state.params, learning, batch, following)[1]


@pytest.mark.slow
def test_without_target_networks_the_critics_are_their_own():
    with_targets, state, _ = begun("delayed")
    without, alone, _ = begun("delayed", target_networks=False)
    assert alone.learning.targets is None
    critics = state.params.critics
    own, same = fit_of(without, alone, None)[1], fit_of(with_targets, state, critics)[1]
    np.testing.assert_array_equal(own.target, same.target)
    shifted = jax.tree.map(lambda x: x + 1.0, critics)
    assert np.abs(fit_of(with_targets, state, shifted)[1].target - same.target).max() > 0.5


@pytest.mark.parametrize(("minimum", "wanted"), [("objective", [1, 4]), ("worth", [1, 5])])
def test_the_lesser_of_the_twins(minimum, wanted):
    learner, state, _ = begun(twin_minimum=minimum)
    batch, _ = fit_of(learner, state, state.params.critics)
    twins = jnp.broadcast_to(jnp.array([[[[1.0, 5.0]]], [[[4.0, 4.0]]]]), (2, SMALL["batch_size"], 1, 2))
    even = batch._replace(preference=jnp.full_like(batch.preference, 0.5))
    np.testing.assert_array_equal(learner._least(twins, even, state.learning)[0, 0], wanted)


def test_one_pass_normalises_now_and_next_alike():
    """Observations are constant: the joint statistics of (s, a) and (s', a') are those of both halves together."""
    learner, state, _ = begun("steer", **CROSSQ)
    batch = batch_of(learner, state, state.replay, 1)
    next_action = -batch.action
    now, then, moments = learner._values_now_and_next(state.params.critics, None, batch, next_action)
    assert now.shape == then.shape == (2, SMALL["batch_size"], 1, 2)
    actions = np.concatenate([batch.action, next_action])
    np.testing.assert_allclose(moments[0].mean[0, 2], 0, atol=1e-6)  # features 0 and 1, then the action
    np.testing.assert_allclose(moments[0].variance[0, 2], actions.var(), rtol=1e-4)


@pytest.mark.slow
def test_running_statistics_move_with_gradient_steps():
    learner, state, _ = begun("steer", **CROSSQ)
    (after, _, _), _ = learner.gradient_step(state.params, state.learning, state.replay, jax.random.key(0))
    before, norms = state.params.critics.body.norms, after.critics.body.norms
    for old, new in zip(before, norms, strict=True):
        assert (np.asarray(old.variance) != np.asarray(new.variance)).any()
    np.testing.assert_allclose(norms[0].variance[:, 0], 0.99, rtol=1e-5)  # of a constant feature


@pytest.mark.parametrize("option", ["crossq", "prioritised"])
def test_lost_steps_change_nothing(option):
    learner, _, batch = begun("delayed", **OPTIONS[option], learning_starts=32)
    state = learner.init(jax.random.key(0))
    valid = jnp.broadcast_to(jnp.arange(4)[:, None] % 2 == 0, batch.valid.shape)
    poisoned = batch._replace(valid=valid, reward=jnp.where(valid[..., None], batch.reward, 1e9))
    update = jax.jit(learner.update)
    ones, twos = (update(state, x, jax.random.key(3))[0] for x in (poisoned, batch._replace(valid=valid)))
    for one, two in zip(*(jax.tree.leaves((x.params, x.learning)) for x in (ones, twos)), strict=True):
        np.testing.assert_array_equal(one, two)
    moved = jax.tree.leaves(
        jax.tree.map(lambda x, y: (np.asarray(x) != np.asarray(y)).any(), ones.params, state.params)
    )
    assert any(moved)


@pytest.mark.slow
def test_priorities_are_the_last_errors():
    """After one gradient step each drawn transition has its error's power, the others the first priority, 1."""
    learner, state, _ = begun("choice", prioritised_replay=True, batch_size=8, priority_exponent=0.5)
    (_, _, priorities), _ = learner.gradient_step(state.params, state.learning, state.replay, jax.random.key(4))
    key = jax.random.split(jax.random.key(4), 3)[0]
    draw = draw_of(learner, state.replay, key)
    batch = learner._batch(state.learning, state.replay.rows, draw)
    error = np.abs(np.asarray(batch.preference * batch.reward).sum(axis=1))  # of critics near 0, in one step
    places = np.asarray(draw.place)
    np.testing.assert_allclose(priorities[places], np.maximum(error, 0.01) ** 0.5, atol=0.1)
    others = np.setdiff1d(np.arange(32), places)
    assert len(others) > 10
    np.testing.assert_array_equal(priorities[others], 1)


def test_surprises_are_drawn_more_and_count_less():
    learner, state, _ = begun("choice", prioritised_replay=True, batch_size=512, importance_exponent=1.0)
    uniform = batch_of(learner, state, state.replay)
    np.testing.assert_array_equal(uniform.importance, 1)
    priorities = state.replay.priorities.at[:32].set(1.0).at[3].set(31.0)
    stored = state.replay._replace(priorities=priorities)
    batch = batch_of(learner, state, stored)
    often = np.asarray(draw_of(learner, stored, jax.random.key(0)).place) == 3
    assert often.mean() == pytest.approx(0.5, abs=0.07)
    np.testing.assert_allclose(batch.importance[often], 1 / 31, rtol=1e-5)
    np.testing.assert_allclose(batch.importance[~often], 1)


def test_nothing_has_another_priority_before_learning_starts():
    env = Probe("choice")
    learner = learner_for(env, 10, prioritised_replay=True, learning_starts=64)
    state = learner.init(jax.random.key(0))
    update, batch = jax.jit(learner.update), experience(env, learner, state, EACH)
    once, _ = update(state, batch, jax.random.key(1))
    np.testing.assert_array_equal(once.replay.priorities[:33], [1] * 32 + [0])
    twice, _ = update(once, batch, jax.random.key(2))
    assert len(np.unique(twice.replay.priorities[:64])) > 10


@pytest.mark.parametrize(("scales", "factors"), [((3.0,), [3, 3]), ((3.0, 1.0), [3, 1])])
def test_one_scale_for_all_objectives_or_one_for_each(scales, factors):
    learner, state, batch = begun("apart", objective_scales=scales)
    sampled = batch_of(learner, state, state.replay)
    found = np.unique(np.asarray(sampled.reward), axis=0)
    np.testing.assert_array_equal(found, np.unique(np.asarray(batch.reward).reshape(-1, 2) * factors, axis=0))


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_share_of_relabelled_preferences(share):
    learner, state, batch = begun(relabel_preferences=True, relabel_share=share, batch_size=512)
    found = batch_of(learner, state, state.replay).preference
    acted = np.unique(np.asarray(batch.preference).reshape(-1, 2), axis=0)
    kept = (np.asarray(found)[:, None] == acted).all(axis=2).any(axis=1)
    assert 1 - kept.mean() == pytest.approx(share, abs=0.06)
    stored: ReplayRow = state.replay.rows
    np.testing.assert_array_equal(np.unique(stored.preference[:32], axis=0), acted)  # it is not stored anew


@pytest.mark.parametrize(("ratio", "steps"), [(None, 8), (1.0, 32), (0.125, 4), (20.0, 640)])
def test_the_update_ratio(ratio, steps):
    one = {} if ratio is None else {"gradient_steps": SACConfig.gradient_steps}
    learner, state, batch = begun(update_ratio=ratio, learning_starts=1, hidden=(2,), batch_size=2, **one)
    state, _ = jax.jit(learner.update)(state, batch, jax.random.key(0))
    counts = [leaf for leaf in jax.tree.leaves(state.learning.opt_state) if leaf.dtype == jnp.int32]
    assert {int(count) for count in counts} == {steps}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"critic_network": "batch_norm"}, "critic_network batch_norm needs target_networks False"),
        ({"critic_network": "norm"}, "unknown critic_network 'norm'"),
        ({"critic_network": "residual", "critic_hidden": (8, 16)}, r"residual needs one width .*, not \(8, 16\)"),
        ({"critic_hidden": (0,)}, "critic_hidden must be one or more widths"),
        ({"twin_minimum": "both"}, "unknown twin_minimum 'both'"),
        ({"priority_exponent": 1.5}, "priority_exponent must be at least 0 and at most 1"),
        ({"importance_exponent": -0.5}, "importance_exponent must be at least 0 and at most 1"),
        ({"relabel_share": 0.0}, "relabel_share must be greater than 0"),
        ({"update_ratio": 0.001}, r"update_ratio times num_envs \* rollout_steps = 640 must be a whole number"),
        ({"update_ratio": 1.0, "gradient_steps": 3}, "give gradient_steps or update_ratio, not both"),
        ({"update_ratio": -1.0}, "update_ratio must be greater than 0"),
    ],
)
def test_settings_out_of_range_are_named(wrong, message):
    with pytest.raises(UserError, match=message):
        SACConfig(**wrong)


def test_critics_of_rows_have_plain_layers():
    from morl import TrainSettings
    from morl.agents.capql import CAPQLConfig
    from morl.training.setup import prepare

    with pytest.raises(UserError, match="critic_network layer_norm needs network flat"):
        prepare("capql", TrainSettings(env="mec-offloading-v0"), CAPQLConfig(critic_network="layer_norm"))
