"""Schedules of PPO's weights and steps, and Pareto selection: each truly acts, and by as much as it should."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import morl
from morl.agents.cmorl import CMORL, CMORLConfig
from morl.agents.d3po import D3POConfig
from morl.agents.d3po.algorithm import D3PO
from morl.agents.ppo import PPOAgent, PPOAgentConfig
from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.config import PoliciesConfig, PPOConfig
from morl.agents.ppo.guide import HypervolumeGuide
from morl.agents.ppo.presets import dynamic_weights
from morl.agents.ppo.schedules import ScheduledPPO, crowded_note
from morl.agents.ppo.surrogates import objective_gradients
from morl.errors import UserError
from morl.ops.masking import standardise
from morl.search_space import checked, overridden, walk
from morl.types import Task
from tests.agents.ppo.test_ppo import CONFIG, GAMMA, largest_difference
from tests.probes import Probe, experience

ONE_STEP = PoliciesConfig(**{**vars(CONFIG), "epochs": 1, "minibatches": 1})
KEY, PREFERENCE = jax.random.key(1), (0.3, 0.7)


def make(kind=ScheduledPPO, config=ONE_STEP, **changes):
    env = Probe("dent")
    return kind(replace(config, **changes), env.observation_space, env.action_space, 2, GAMMA, 1)


@pytest.fixture(scope="module")
def start():
    """Return PPO of one step an update, its state, a rollout, and the parameters after an update."""
    learner = make(PPO)
    state = learner.init(jax.random.key(0))
    batch = experience(Probe("dent"), learner, state, PREFERENCE)
    update = jax.jit(learner.update)
    return learner, state, batch, update, update(state, batch, KEY)[0].params


def moved(before, after):
    """Return how far actor and critic have moved."""
    size = [jax.tree.map(np.subtract, getattr(after, part), getattr(before, part)) for part in ("actor", "critic")]
    return [np.concatenate([np.ravel(x) for x in jax.tree.leaves(each)]) for each in size]


def test_the_step_factor_acts_where_a_factor_of_the_reward_is_cancelled(start):
    """The actor moves four times as far with 2 as with 0.5, and as far as ever with four times the reward."""
    _, plain, batch, update, expected = start
    learner = make(weight_schedule="hypervolume")
    state, scheduled = learner.init(jax.random.key(0)), jax.jit(learner.update)

    def step(factor):
        after, metrics = scheduled(learner.with_step_factor(state, jnp.float32(factor)), batch, KEY)
        assert metrics["step_factor"] == np.float32(factor)
        return moved(state.params, after.params)

    (short, critic), (long, same_critic), (whole, _) = step(0.5), step(2.0), step(1.0)
    assert np.abs(short).max() > 1e-4
    np.testing.assert_allclose(long, 4 * short, rtol=1e-3, atol=1e-7)
    np.testing.assert_array_equal(critic, same_critic)
    np.testing.assert_array_equal(whole, moved(plain.params, expected)[0])  # 1 changes no bit
    larger = update(plain, batch._replace(reward=4 * batch.reward), KEY)[0].params
    assert np.linalg.norm(moved(plain.params, larger)[0]) < 1.1 * np.linalg.norm(whole)


def test_the_gradient_schedule_without_a_rate_is_ppo(start):
    learner = make(weight_schedule="gradient", weight_rate=0.0, weight_floor=0.0)
    after, metrics = jax.jit(learner.update)(learner.init(jax.random.key(0)), start[2], KEY)
    assert largest_difference(after.params, start[-1]) < 1e-6
    np.testing.assert_allclose([metrics["weight_0"], metrics["weight_1"]], PREFERENCE, rtol=1e-5)


def test_weights_follow_the_gradients_and_are_remembered(start):
    """The first update starts as published from the even weights, the second from where the first has ended."""
    _, _, batch, _, plain = start
    learner = make(**{**dynamic_weights("any"), "weight_rate": 2000.0, "clip_eps": 0.2})
    state = learner.init(jax.random.key(0))
    _, rollout = learner.process_rollout(state, batch)
    actor = objective_gradients(learner, state.params, rollout, rollout.advantage)
    each = np.stack([np.concatenate([np.ravel(x[i]) for x in jax.tree.leaves(actor)]) for i in range(2)])
    influence = each @ each.sum(axis=0)
    expected = np.exp(2000 * influence) / np.exp(2000 * influence).sum()
    assert abs(expected[0] - 0.5) > 0.02
    update = jax.jit(learner.update)
    after, metrics = update(state, batch, KEY)
    np.testing.assert_allclose(after.learning.objective_weights, expected, rtol=1e-3)
    assert metrics["weight_0"] == after.learning.objective_weights[0]
    assert largest_difference(after.params, plain) > 1e-4
    again, _ = update(after, batch, KEY)
    further = np.abs(np.asarray(again.learning.objective_weights) - 0.5)
    assert (further > np.abs(expected - 0.5)).all()


def test_dominated_episodes_are_not_learnt_from(start):
    """The step follows the gradient of the mean of 1[in P] N / |P| A log π; in the probe every step is an episode."""
    _, _, batch, _, plain = start
    batch = batch._replace(
        reward=jax.random.normal(KEY, batch.reward.shape)
    )  # not the probe's, none of which is dominated
    learner = make(pareto_selection="hard", entropy_coefficient=0.0)
    state, update = learner.init(jax.random.key(0)), jax.jit(learner.update)
    after, metrics = update(state, batch, KEY)
    _, rollout = learner.process_rollout(state, batch)
    points = np.asarray(rollout.delta).reshape(-1, 2)
    better = (points[:, None] >= points[None]).all(-1) & (points[:, None] > points[None]).any(-1)
    best = ~better.any(axis=0)
    assert 0 < best.mean() < 0.2
    np.testing.assert_allclose(metrics["non_dominated_share"], best.mean(), rtol=1e-6)
    advantage = standardise(rollout.advantage @ jnp.array(PREFERENCE), rollout.weight)
    factor = jnp.asarray(np.where(best, len(best) / best.sum(), 0.0), jnp.float32).reshape(advantage.shape)

    def surrogate(actor):
        log_prob = learner.actions.log_prob(actor(rollout.inputs), state.params.log_std, rollout.action)
        return jnp.mean(factor * advantage * log_prob)

    wanted = np.concatenate([np.ravel(x) for x in jax.tree.leaves(jax.grad(surrogate)(state.params.actor))])
    taken = moved(state.params, after.params)[0]
    known = np.abs(wanted) > 1e-6
    np.testing.assert_array_equal(np.sign(taken[known]), np.sign(wanted[known]))  # Adam's first step is the sign
    assert largest_difference(after.params.actor, plain.actor) > 1e-4


def test_a_guide_holds_what_was_reached_and_goes_on_from_it():
    evaluated = np.array([[[1.0, 1.0], [1.0, 1.0]], [[2.0, 1.0], [-1.0, 5.0]]])
    guide = HypervolumeGuide(np.zeros(2), 2, learners=2, capacity=3, gain=2.0)
    np.testing.assert_allclose(guide.factors(evaluated), [0.5, 0.5, 2.0, 0.5])
    other = HypervolumeGuide(np.zeros(2), 2, learners=2, capacity=3, gain=2.0)
    other.restore(guide.saved())
    assert guide.saved().shape == (2, 3, 2)
    further = evaluated + np.array([1.0, 0.0])
    np.testing.assert_array_equal(guide.factors(further), other.factors(further))
    # of a single policy that takes any preference all rows are its own: HV 1 to 2, and 2 to 3
    conditional = HypervolumeGuide(np.zeros(2), 2, learners=1, capacity=3, gain=2.0)
    conditional.factors(evaluated)
    np.testing.assert_allclose(conditional.factors(further), 0.5 + 1.5 * np.tanh([2 * 1.0, 2 * 0.5]), rtol=1e-6)


def test_the_first_stages_of_ppo_and_cmorl_have_them():
    env = Probe("choice")
    task = Task(env.observation_space, env.action_space, 2, GAMMA, steps=10**6)
    for agent, config in ((PPOAgent, PPOAgentConfig), (CMORL, CMORLConfig)):
        assert type(agent(config(), task).learner) is PPO
        assert agent(config(), task).guide(np.zeros(2), 1, 4) is None
        for name in ({"weight_schedule": "hypervolume"}, {"pareto_selection": "soft"}):
            made = agent(config(**name), task)
            assert isinstance(made.learner, ScheduledPPO)
            assert (made.guide(np.zeros(2), 1, 4) is None) == ("pareto_selection" in name)


RUN = {"steps": 320, "evaluations": 2, "eval_episodes": 1, "final_episodes": 1, "checkpoint_minutes": 0.0}
SMALL = {"num_envs": 4, "rollout_steps": 8, "epochs": 1, "minibatches": 2, "hidden": (8,)}


@pytest.mark.slow
def test_a_run_logs_each_policy_and_resumes_to_the_same_numbers(tmp_path):
    """Two policies with 5 updates each; the one that is stopped goes on from after its first evaluation."""
    env, given = Probe("choice"), {"num_policies": 2, "weight_schedule": "hypervolume", "pareto_selection": "hard"}
    whole = morl.train("ppo", env, **RUN, **SMALL, **given, out=tmp_path / "whole")

    def evaluated():
        return (tmp_path / "cut" / "metrics.csv").stat().st_size > 0  # which has set the factors

    stopped = morl.train("ppo", env, **RUN, **SMALL, **given, out=tmp_path / "cut", should_stop=evaluated)
    assert not stopped.finished
    resumed = morl.train(resume=stopped.path, env=env)

    def columns(run):
        rows = np.genfromtxt(run.path / "metrics.csv", delimiter=",", names=True)
        return {name: rows[name] for name in rows.dtype.names if not name.startswith(("seconds", "steps_per"))}

    first, second = columns(whole), columns(resumed)
    for name, column in first.items():
        np.testing.assert_array_equal(column, second[name], err_msg=name)
    assert (resumed.path / "front.csv").read_text() == (whole.path / "front.csv").read_text()
    each = np.array([first[f"step_factor_policy_{i}"] for i in range(2)])
    np.testing.assert_array_equal(each[:, 0], 1)  # before the first evaluation
    assert (np.abs(each[:, 1] - 1) > 0.1).all()
    np.testing.assert_allclose(each.mean(axis=0), first["step_factor"], rtol=1e-6)
    assert (first["non_dominated_share"] == 1).all()  # the probe's outcomes are (1, 0) and (0, 1)
    assert (whole.path / "log.txt").read_text().count("so that it selects next to nothing") == 1


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"weight_schedule": "gradient"}, {"weight_schedule": "hypervolume"}])
def test_cmorl_and_d3po_train_with_them(changes, tmp_path):
    more = {**changes, "pareto_selection": "soft"}
    run = morl.train("d3po", "fruit-tree-v0", **RUN, **SMALL, num_preferences=4, **more, out=tmp_path / "d3po")
    assert "non_dominated_share" in (run.path / "metrics.csv").read_text()
    two = {"num_policies": 2, "extension_updates": 2, "extension_share": 0.4}
    run = morl.train("cmorl", "fruit-tree-v0", **RUN, **SMALL, **two, **more, out=tmp_path / "cmorl")
    header = (run.path / "metrics.csv").read_text().splitlines()[0].split(",")
    wanted = "weight_5_policy_1" if changes["weight_schedule"] == "gradient" else "step_factor_policy_1"
    assert wanted in header


@pytest.mark.slow
def test_d3po_moves_weights_beside_its_preferences():
    """Without a rate it is as without a schedule."""
    env, states = Probe("choice"), {}
    for name, changes in {"none": {}, "gradient": {"weight_rate": 0.0}}.items():
        config = D3POConfig(**{**vars(CONFIG), "epochs": 1, "weight_schedule": name, **changes})
        learner = D3PO(config, env.observation_space, env.action_space, 2, GAMMA, 1)
        state = learner.init(jax.random.key(0))
        steps = experience(env, learner, state, PREFERENCE)
        states[name], metrics = jax.jit(learner.update)(state, steps, KEY)
        assert ("weight_0" in metrics) == (name == "gradient")
    assert largest_difference(states["none"].params, states["gradient"].params) < 1e-6


def test_that_nothing_is_selected_is_said():
    config = PPOConfig(pareto_selection="hard")
    assert crowded_note(config, 9, 0.5) is None
    assert crowded_note(config, 9, float("nan")) is None
    assert "95% of the episodes of a rollout are non-dominated in 9 objectives" in crowded_note(config, 9, 0.95)


def test_constants_are_searched_where_their_schedule_is():
    from morl.agents.ppo.config import SPACE

    settings = vars(PPOAgentConfig())
    plain = walk(SPACE, settings, lambda name, domain: "a value")
    assert not {"weight_rate", "hypervolume_gain"} & set(plain)
    assert "weight_rate" in walk(SPACE, {**settings, "weight_schedule": "gradient"}, lambda name, domain: "a value")
    searched, _ = overridden(SPACE, {"weight_schedule": {"choice": ["none", "hypervolume"]}}, "--space")
    chosen = walk(checked(searched, settings, "--space"), settings, lambda name, domain: "hypervolume")
    assert "hypervolume_gain" in chosen
    assert "weight_rate" not in chosen


def test_mistakes_are_told_in_one_line():
    with pytest.raises(UserError, match="unknown weight_schedule 'gradients'; did you mean gradient"):
        PPOConfig(weight_schedule="gradients")
    with pytest.raises(UserError, match="aggregator and weight_schedule both decide"):
        PPOConfig(weight_schedule="gradient", aggregator="mgda")
    with pytest.raises(UserError, match="aggregator and pareto_selection both decide"):
        D3POConfig(pareto_selection="soft", aggregator="mgda")
    with pytest.raises(UserError, match="utility and weight_schedule both decide"):
        PPOAgentConfig(weight_schedule="hypervolume", utility="max-min")
    with pytest.raises(UserError, match="target_kl and weight_schedule hypervolume both set"):
        PPOConfig(weight_schedule="hypervolume", target_kl=0.01)
    with pytest.raises(UserError, match="warm_start imitates"):
        D3POConfig(weight_schedule="gradient", warm_start="runs/x")
    with pytest.raises(UserError, match=r"weight_floor must be at least 0 and below 0\.5"):
        PPOConfig(weight_floor=0.5)
    with pytest.raises(UserError, match="hypervolume_gain must be greater than 0"):
        PPOConfig(hypervolume_gain=0.0)
    env, config = Probe("choice"), PoliciesConfig(weight_schedule="gradient", weight_floor=0.3)
    with pytest.raises(UserError, match="weight_floor must be below 1/4 with 4 objectives"):
        ScheduledPPO(config, env.observation_space, env.action_space, 4, GAMMA, 1)
