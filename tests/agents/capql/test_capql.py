"""CAPQL: one policy for a whole front, the preferences of its episodes, its presets, and its mistakes in one line."""

from functools import cache

import jax
import numpy as np
import pytest
from gymnasium import spaces

import morl
from morl import TrainSettings
from morl.agents.capql import CAPQL, CAPQLConfig
from morl.errors import UserError
from morl.export import export
from morl.ops.preferences import equally_spaced_weights
from morl.registry import agent_spec
from morl.training.setup import prepare
from morl.types import Task
from tests.probes import Probe, trainer

GAMMA = 0.9
SMALL = {
    "num_envs": 8,
    "rollout_steps": 4,
    "update_ratio": 0.25,
    "batch_size": 32,
    "replay_capacity": 1024,
    "learning_starts": 64,
    "learning_rate": 5e-3,
    "tau": 0.05,
    "temperature": 1e-3,
    "learn_temperature": False,
    "objective_scales": (1.0, 1.0),
    "hidden": (32,),
    "num_preferences": 5,
}
WEIGHTS = equally_spaced_weights(2, 5)


def agent_for(env, steps=12_800, size=2, **changes):
    task = Task(env.observation_space, env.action_space, size, GAMMA, steps)
    return CAPQL(CAPQLConfig(**{**SMALL, **changes}), task)


@cache
def front_of(kind, **changes):
    """Train on a probe; return (5, 2), the greedy returns of equally spread preferences."""
    env = Probe(kind)
    agent = agent_for(env, **changes)
    options = {"width": 5, "draw_preference": agent.draw_preference, "devices": jax.devices()[:1]}
    backend = trainer(env, agent.learner, agent.preferences, **options)
    state, _ = backend.run(backend.init([jax.random.key(3)]), agent.updates)
    found = backend.evaluate(backend.policies(state), WEIGHTS[None], jax.random.split(jax.random.key(4), 1), 1)
    return np.asarray(found.discounted[0, :, 0])


def test_one_policy_has_the_front_of_continuous_actions():
    """The returns are -(a - 0.6)² and -(a + 0.2)²: best is a = 0.6 w1 - 0.2 w2; untrained, a is about 0 for all."""
    found = front_of("steer")
    best = WEIGHTS @ [0.6, -0.2]
    np.testing.assert_allclose(found, -((best[:, None] - np.array([0.6, -0.2])) ** 2), atol=0.15)
    assert np.ptp(found, axis=0).min() > 0.4


@pytest.mark.slow
def test_one_policy_chooses_by_the_preference():
    found = front_of("choice")
    np.testing.assert_array_equal(found[WEIGHTS[:, 0] > 0.5], [[1, 0]] * 2)
    np.testing.assert_array_equal(found[WEIGHTS[:, 0] < 0.5], [[0, 1]] * 2)


@pytest.mark.slow
def test_a_network_that_does_not_see_the_preference_fails_it():
    assert len(np.unique(front_of("choice", preference_input=False), axis=0)) == 1


def test_preferences_of_episodes():
    def drawn(**changes):
        draw = agent_for(Probe("choice"), size=3, objective_scales=None, **changes).draw_preference
        return np.asarray(jax.vmap(draw)(jax.random.split(jax.random.key(0), 4000)))

    uniform = drawn(corner_share=0.0)
    np.testing.assert_allclose(uniform.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(uniform.var(axis=0), 1 / 18, atol=0.005)  # of Dirichlet(1, 1, 1)
    np.testing.assert_allclose((drawn(corner_share=0.3) == 1).mean(axis=0), 0.1, atol=0.02)
    lopsided = drawn(corner_share=0.0, preference_concentration=(4.0, 2.0, 2.0))
    np.testing.assert_allclose(lopsided.mean(axis=0), [0.5, 0.25, 0.25], atol=0.02)


def test_each_episode_of_each_environment_draws_its_own():
    env = Probe("delayed")  # of two steps
    agent = agent_for(env, steps=96)
    options = {"draw_preference": agent.draw_preference, "devices": jax.devices()[:1]}
    backend = trainer(env, agent.learner, agent.preferences, **options)
    state, _ = backend.run(backend.init([jax.random.key(0)]), 1)
    episodes = np.asarray(state.learners.replay.rows.preference)[0, :32].reshape(2, 2, 8, 2)
    np.testing.assert_array_equal(episodes[:, 0], episodes[:, 1])
    inside = episodes[:, 0, :, 0][(episodes[:, 0, :, 0] > 0) & (episodes[:, 0, :, 0] < 1)]
    assert len(np.unique(inside)) == len(inside) > 8


def test_what_a_seed_is_made_of():
    agent = agent_for(Probe("choice"), steps=640, prioritised_replay=True)
    assert (agent.preferences.shape, agent.updates, agent.num_preferences) == ((1, 8, 2), 20, 5)
    row = 2 * 4 + 4 + 2 * 4 + 2 * 4 + 1 + 4 + 1 + 2 * 4
    assert agent.notes == (
        f"replay of 1,024 transitions: {1024 * row + 4 * 11**3:,} bytes a seed",
        "update-to-data ratio 0.25: 8 gradient steps after each 32 environment steps",
    )


@pytest.mark.parametrize("env", ["minecart-v0", "mo-hopper-2obj-v5"])
@pytest.mark.parametrize("preset", ["paper", "benchmark"])
def test_a_preset_has_settings_for_an_environment(preset, env):
    found = agent_spec("capql").protocol(preset, env)
    own = {name: value for name, value in found.items() if name in vars(CAPQLConfig())}
    rest = {name: value for name, value in found.items() if name not in own}
    agent = prepare("capql", TrainSettings(env=env, **rest), CAPQLConfig(**own)).agent
    assert agent.updates > 1
    if preset == "paper":
        c = agent.config
        assert (c.steps_of_gradient, c.learning_rate, c.temperature, c.twin_minimum) == (1, 3e-4, 0.2, "objective")
        assert (c.objective_scales, c.learn_temperature) == ((1.0,), False)


def test_a_preset_without_settings_says_so():
    with pytest.raises(UserError, match="the preset benchmark of capql has no settings for 'four-room-v0'"):
        agent_spec("capql").protocol("benchmark", "four-room-v0")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_preferences": 1}, "num_preferences must be at least 2"),
        ({"corner_share": 1.5}, "corner_share must be at least 0 and at most 1"),
        ({"preference_concentration": (1.0, 0.0)}, "preference_concentration must be greater than 0"),
        ({"gradient_steps": 4}, "give gradient_steps or update_ratio, not both; update_ratio None leaves it"),
    ],
)
def test_settings_out_of_range_are_named(wrong, message):
    with pytest.raises(UserError, match=message):
        CAPQLConfig(**wrong)


def test_what_does_not_fit_the_environment_is_refused():
    env = Probe("choice")
    with pytest.raises(UserError, match="preference_concentration must be one number or 2, one an objective, not 3"):
        agent_for(env, preference_concentration=(1.0, 1.0, 1.0))
    with pytest.raises(UserError, match="objective_scales must be one number or 2, one an objective, not 3"):
        agent_for(env, objective_scales=(1.0, 1.0, 1.0))
    with pytest.raises(UserError, match="steps must be at least 96 to learn anything after learning_starts"):
        agent_for(env, steps=64)
    box = spaces.Box(-1, 1, (1,), np.float32)
    with pytest.raises(UserError, match="network rows needs discrete actions"):
        CAPQL(CAPQLConfig(network="rows"), Task(box, box, 2, GAMMA, 10**5))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a run on the host with continuous actions and every option of the critics."""
    settings = TrainSettings(
        env="mo-mountaincarcontinuous-v0",
        backend="host",
        steps=512,
        evaluations=1,
        eval_episodes=1,
        final_episodes=1,
        out=tmp_path_factory.mktemp("runs") / "run",
    )
    options = {"critic_network": "batch_norm", "target_networks": False, "prioritised_replay": True}
    config = CAPQLConfig(**{**SMALL, "objective_scales": None, "hidden": (8,)}, critic_hidden=(16,), **options)
    return morl.train("capql", settings, config)


@pytest.mark.parametrize(
    "format", [pytest.param("torch", marks=pytest.mark.slow), "jax", pytest.param("onnx", marks=pytest.mark.slow)]
)
def test_one_program_for_any_preference(run, format, tmp_path):
    """The exported program of observation and preference acts as the policy does for each of them."""
    for module in {"torch": ["torch"], "jax": ["flatbuffers"], "onnx": ["onnx", "onnxscript"]}[format]:
        pytest.importorskip(module)
    done = export(run.path, tmp_path / f"all{ {'torch': '.pt2', 'jax': '.jax', 'onnx': '.onnx'}[format] }")
    space, rng = morl.make(run.config["env"]).observation_space, np.random.default_rng(0)
    space.seed(0)
    obs = np.stack([space.sample() for _ in range(20)])
    weights = rng.dirichlet(np.ones(len(run.front.objectives)), 20).astype(np.float32)
    wanted = run.front.at(0)(obs, weights)
    assert len(np.unique(wanted)) > 10
    if format == "torch":
        import torch

        got = torch.export.load(str(done.path)).module()(torch.from_numpy(obs), torch.from_numpy(weights)).numpy()
    elif format == "jax":
        from morl.export import jax_format

        got = np.asarray(jax_format.read(done.path)[0](obs, weights))
    else:
        import onnx
        from onnx.reference import ReferenceEvaluator

        inputs = {"observation": obs, "preference": weights}
        (got,) = ReferenceEvaluator(onnx.load(str(done.path))).run(None, inputs)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_the_log_says_what_a_step_is_learnt_from_by(run):
    assert "update-to-data ratio 0.25: 8 gradient steps after each 32 environment steps" in (
        run.path / "log.txt"
    ).read_text().replace("\n", " ")
