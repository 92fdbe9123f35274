"""Masks of host environments reach agents, policies and checks, wherever the environment gives them."""

import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

import morl
from morl.analysis.playback import play
from morl.envs.checks.check import check_env
from morl.envs.gymnasium.masked import MaskAtEnd, allowed_action
from morl.errors import UserError
from morl.export import export
from morl.registry import agent_spec, load
from morl.training.setup import prepare
from tests.agents.test_conformance import CASES
from tests.envs.host.masking import id_of

PLACES = ("Masking", "Beside", "Several", "Whole", "Picture")


def first_steps(name, processes=0, steps=13):
    """Step two environments by the last allowed action; return the masks before and the steps."""
    env = morl.make(id_of(name))
    envs = env.make_vector(2, processes)
    obs, masks, results = envs.reset(seed=0), [], []
    for _ in range(steps):
        masks.append(env.action_mask(obs))
        results.append(envs.step(np.array([np.flatnonzero(mask)[-1] + 2 for mask in masks[-1]])))
        obs = results[-1].obs
    envs.close()
    return env, np.stack(masks), results


@pytest.mark.parametrize("name", PLACES)
def test_the_mask_is_at_the_end_of_every_observation(name):
    env, masks, results = first_steps(name)
    for t, mask in enumerate(masks):  # an episode has 6 steps
        expected = np.isin(np.arange(4), [t % 6 % 4, (t % 6 - 1) % 4])
        np.testing.assert_array_equal(mask, np.stack([expected, expected]))
        assert env.observation_space.contains(results[t].next_obs[0])
    assert env.action_mask(results[5].next_obs).all()  # the episode is over: nothing is to be chosen
    assert results[5].truncated.all()


def test_spaces_keep_their_kind():
    def space(name):
        return morl.make(id_of(name)).observation_space

    assert space("Masking") == space("Beside") == spaces.Box(0, np.float32([10, 1, 1, 1, 1]), (5,), np.float32)
    assert space("Whole") == spaces.MultiDiscrete([7, 2, 2, 2, 2])
    assert (space("Picture").dtype, space("Picture").shape) == (np.uint8, (10,))
    assert space("Several").shape == (7 + 4 + 4,)


def test_workers_give_the_same():
    for one, two in zip(first_steps("Several")[2], first_steps("Several", 2)[2], strict=True):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)


def test_masks_of_numpy_and_of_jax():
    obs = np.array([[0.5, 1, 0], [0.5, 0, 1]], np.float32)
    for array in (obs, jnp.asarray(obs)):
        mask = MaskAtEnd(2)(array)
        assert (np.asarray(mask).tolist(), mask.dtype) == ([[1, 0], [0, 1]], np.int8)
    assert MaskAtEnd(2) == MaskAtEnd(2)  # compiled once


def test_forbidden_actions_are_replaced_evenly():
    space = spaces.Discrete(6, start=1)
    mask = np.array([0, 1, 0, 1, 0, 0])
    replaced = [int(allowed_action(action, mask, space)) for action in range(1, 7)]
    assert replaced == [2, 2, 2, 4, 2, 4]
    assert allowed_action(3, None, space) == allowed_action(3, np.zeros(6), space) == 3


def four_steps(name, fault):
    envs = morl.make(id_of(name), fault=fault).make_vector(1)
    envs.reset(seed=0)
    for t in range(4):
        envs.step(np.array([t % 4 + 2]) if "Wide" not in name else np.ones((1, 4), np.float32))


@pytest.mark.parametrize(
    ("name", "fault", "message"),
    [
        ("Masking", "missing", "step 3 of an episode: no action_mask in the info"),
        ("Masking", "empty", "step 3 of an episode: action_mask allows no action"),
        ("Beside", "empty", "step 3 of an episode: action_mask allows no action"),
        ("Masking", "length", r"step 3 of an episode: action_mask array.*; allowed: 4 numbers 0 or 1, one for each"),
        ("Masking", "late", "step 1 of an episode: an action_mask in the info; allowed: one in every info from the"),
        ("Wide", None, "step 1 of an episode: an action_mask in the info; .*of Discrete actions"),
        ("WideBeside", None, r"gives an action_mask for actions Box.*; allowed: masks of Discrete actions"),
    ],
)
def test_wrong_masks_are_refused_in_training_and_by_the_check(name, fault, message):
    with pytest.raises(UserError, match=message):
        four_steps(name, fault)
    from tests.envs.host import masking

    class Faulty(getattr(masking, name)):
        def __init__(self):
            super().__init__(fault)

    report = check_env(Faulty)
    (fault,) = [finding for finding in report.findings if finding.status == "fix"]
    assert "action_mask" in str(fault), report


@pytest.mark.parametrize("name", PLACES)
def test_the_check_samples_what_is_allowed(name):
    from tests.envs.host import masking

    report = check_env(getattr(masking, name))
    assert report.passed(), report
    assert any(finding.subject == "action_mask" for finding in report.findings)


@pytest.mark.parametrize("agent", ["ppo", "cmorl", "d3po", "capql", "gmorl", "dsac", "gpi-ls"])
def test_every_agent_chooses_what_is_allowed(agent):
    settings = morl.TrainSettings(env=id_of("Whole"), steps=1000, reference_point=(-1.0, -100.0))
    learner = prepare(agent, settings, load(agent_spec(agent).config)(**CASES[agent][1])).agent.learner
    policy = learner.policy(learner.init(jax.random.key(0)))
    masks = np.eye(4, dtype=np.int64)[np.arange(32) % 4]
    obs = jnp.asarray(np.concatenate([np.arange(32)[:, None] % 7, masks], axis=1))
    for greedy in (True, False):
        action = learner.act(policy, obs, jnp.array([0.5, 0.5]), jax.random.key(1), greedy=greedy)
        np.testing.assert_array_equal(learner.to_env(action), np.arange(32) % 4 + 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a finished run, on an environment that raises when an action is forbidden."""
    settings = morl.TrainSettings(
        env=id_of("Several"),
        steps=960,
        evaluations=2,
        eval_episodes=2,
        final_episodes=2,
        reference_point=(-1.0, -100.0),
        out=tmp_path_factory.mktemp("runs") / "run",
    )
    return morl.train("ppo", settings, load(agent_spec("ppo").config)(**CASES["ppo"][1]))


@pytest.mark.slow
def test_runs_are_played_and_exported(run, tmp_path):
    (episode,) = play(run.path, [0.5, 0.5]).episodes()
    assert len(episode.actions) == 6
    exported = export(run.path, tmp_path / "policy.jax", format="jax", preference=[0.5, 0.5])
    assert exported.difference <= 0.01


def test_a_loaded_policy_takes_what_the_environment_gives(run):
    policy = morl.load(run.path).front.at(0)
    env = gymnasium.make("morl-test/Several-v0", disable_env_checker=True)
    obs, _ = env.reset(seed=0)
    for _ in range(6):  # the environment raises where an action is forbidden
        obs, *_ = env.step(policy(obs))
    mask = np.array([0, 0, 1, 0], np.int8)
    alone = {"place": 2, "picture": np.zeros((2, 2), np.uint8)}
    assert policy(alone, mask=mask) == policy({**alone, "action_mask": mask}) == 4
    batch = {"place": np.array([2, 3]), "picture": np.zeros((2, 2, 2), np.uint8)}
    assert policy(batch, mask=np.eye(4, dtype=np.int8)[[1, 3]]).tolist() == [3, 5]
    assert policy(policy.join(alone, mask)) == 4  # as agents see it
    with pytest.raises(UserError, match=r"Several-v0 masks actions: give the mask in its info too, policy\(obs, mask"):
        policy(alone)
    with pytest.raises(UserError, match=r"mask of shape \(3,\); allowed: \(4,\), or \(B, 4\)"):
        policy(alone, mask=mask[:3])
    with pytest.raises(UserError, match="gives no masks of its own"):
        dataclasses.replace(policy, join=None)(np.zeros(15), mask=mask)


def test_observations_and_masks_are_joined_for_any_space():
    for name, obs in (("Masking", np.float32([3])), ("Whole", 3), ("Picture", np.zeros((2, 3, 1), np.uint8))):
        env = morl.make(id_of(name))
        one = env.join(obs, np.array([0, 1, 0, 0]))
        assert env.observation_space.contains(one)
        assert env.action_mask(one).tolist() == [0, 1, 0, 0]
        np.testing.assert_array_equal(env.join(np.stack([obs, obs]), np.eye(4)[[1, 1]]), np.stack([one, one]))
