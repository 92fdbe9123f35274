"""One policy that takes any preference, through the whole library: training, front, evaluation, reading back."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import morl
from morl.agents.dsac import SeparateSACConfig
from morl.agents.gmorl import GMORLConfig
from morl.errors import UserError
from morl.loading import reevaluate
from morl.ops import metrics
from morl.ops.preferences import equally_spaced_weights
from morl.settings import EvaluateSettings, TrainSettings
from morl.training.backends.host import HostBackend
from morl.training.backends.host_double_buffered import DoubleBufferedHost
from morl.training.evaluation import evaluate, in_blocks
from morl.training.setup import prepare

SMALL = {
    "num_envs": 8,
    "rollout_steps": 10,
    "gradient_steps": 4,
    "batch_size": 32,
    "replay_capacity": 800,
    "learning_starts": 80,
    "hidden": (16,),
}
MEC = {"num_edges": 3, "max_edges": 4}


TREASURE = {"env": "deep-sea-treasure-v0", "env_kwargs": {}, "steps": 1600, "eval_episodes": 2, "final_episodes": 4}
LEARNS = GMORLConfig(
    num_envs=32,
    rollout_steps=5,
    gradient_steps=8,
    batch_size=128,
    replay_capacity=16_000,
    learning_starts=1600,
    hidden=(32, 32),
    train_gamma=0.9,
    num_preferences=30,
)


def small(out, agent="gmorl", config=None, **changes):
    config = config or GMORLConfig(**SMALL, num_preferences=30)
    return morl.train(agent, TrainSettings(**{**TREASURE, "evaluations": 2, "out": out, **changes}), config)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("gmorl") / "run"
    return small(out, config=LEARNS, env="mec-offloading-v0", env_kwargs=MEC, steps=9600, final_episodes=32)


def test_it_learns(run):
    """Three servers. Seeds 0 to 2 reach 7500 to 7976, two policies that never learnt 4340 and 3495."""
    assert metrics.hypervolume(run.front.undiscounted, [-3000.0, -6.0]) > 6500


def test_the_run_reads_back(run):
    again = morl.load(run.path)
    front, back = run.front, again.front
    assert front.conditional
    np.testing.assert_array_equal(front.returns, back.returns)
    for one, two in zip(jax.tree.leaves(front.params), jax.tree.leaves(back.params), strict=True):
        np.testing.assert_array_equal(one, two)  # not stacked: one policy, however many rows
    log = (run.path / "log.txt").read_text()
    assert "1 policy x 60 updates x 160 steps = 9,600 steps" in log
    row_bytes = 2 * (5 * 65 * 4) + 4 + 2 * 4 + 1 + 4 + 1 + 2 * 4
    assert f"replay of 16,000 transitions: {16_000 * row_bytes:,} bytes a seed" in log
    assert log.index("replay of") < log.index("step=")  # before it is there


def test_the_policy_takes_any_preference_and_any_number_of_observations(run):
    policy = morl.load(run.path).front.at(0)
    env = morl.make("mec-offloading-v0", **MEC)
    _, obs = jax.jit(jax.vmap(env.reset, (0, None)))(jax.random.split(jax.random.key(0), 10_000), env.default_params)
    obs = np.asarray(obs)
    one = policy(obs[0], [0.3, 0.7])
    assert one.shape == ()
    many = policy(obs, [0.3, 0.7])
    assert many.shape == (10_000,)
    assert many[0] == one
    assert many.max() <= 3  # server 4 does not exist
    each = np.tile([[0.3, 0.7], [1.0, 0.0]], (5_000, 1))
    mixed = policy(obs, each)
    np.testing.assert_array_equal(mixed[::2], many[::2])
    np.testing.assert_array_equal(policy(obs, policy.preference), policy(obs))
    assert (policy(obs, key=jax.random.key(1)) != many).any()


def test_preferences_off_the_simplex_are_refused(run):
    policy = run.front.at(0)
    with pytest.raises(UserError, match="add up to 1"):
        policy(np.zeros((5, 65), np.float32), [0.5, 0.6])
    with pytest.raises(UserError, match="2 weights"):
        policy(np.zeros((5, 65), np.float32), [0.5, 0.2, 0.3])


def test_overlap_takes_two_policies():
    """Two seeds have two policies, so that overlap works; one seed evaluated again has one policy."""
    settings = {**TREASURE, "backend": "host", "overlap": True, "processes": 1}
    with pytest.raises(UserError, match="overlap needs two policies, and gmorl has one: give two seeds"):
        prepare("gmorl", TrainSettings(**settings), GMORLConfig(**SMALL))
    plan = prepare("gmorl", TrainSettings(**settings, num_seeds=2), GMORLConfig(**SMALL))
    options = {"eval_episodes": 1, "devices": jax.devices()[:1]}
    assert isinstance(plan.make_backend(np.concatenate([plan.agent.preferences] * 2), **options), DoubleBufferedHost)
    assert isinstance(plan.make_backend(plan.agent.preferences, **options), HostBackend)


def test_evaluating_one_policy_for_many_preferences_is_evaluating_as_many_copies():
    settings = TrainSettings(**{**TREASURE, "env": "fishwood-v0"})  # chance decides, so that all returns differ
    plan = prepare("gmorl", settings, GMORLConfig(**SMALL))
    learner, env = plan.agent.learner, plan.env
    keys = jax.random.split(jax.random.key(5), 2)
    states = [learner.init(key) for key in keys]
    policies = jax.tree.map(lambda *x: np.stack(x), *(learner.policy(state) for state in states))
    preferences = np.stack([equally_spaced_weights(2, 25)] * 2)  # more than are evaluated at a time
    backend = plan.make_backend(
        np.concatenate([plan.agent.preferences] * 2), eval_episodes=3, devices=jax.devices()[:2]
    )
    together = backend.evaluate(policies, preferences, keys, 4)
    assert together.discounted.shape == (2, 25, 4, 2)
    copies = jax.tree.map(lambda x: np.repeat(x, 25, axis=0), policies)
    apart = in_blocks(
        jax.jit(partial(evaluate, env, env.default_params, learner, episodes=3, gamma=plan.gamma)),
        copies,
        preferences.reshape(50, 2),
        jnp.repeat(keys, 25, axis=0),
        block=50,
        episodes=4,
        each=3,
    )
    assert len(np.unique(apart.discounted)) > 4
    np.testing.assert_allclose(together.discounted.reshape(apart.discounted.shape), apart.discounted, rtol=1e-5)


@pytest.mark.slow
def test_on_the_same_seeds_the_same_numbers_and_seeds_apart(tmp_path):
    both, again = (small(tmp_path / name, num_seeds=2) for name in ("both", "again"))
    alone = small(tmp_path / "alone", seed=1)
    for name in ("front.csv", "metrics.csv"):
        rows = [(run.path / name).read_text().splitlines() for run in (both, again)]
        one, two = ([row.split(",")[:2] + row.split(",")[3:7] for row in table] for table in rows)  # but for the clock
        assert one == two
    policies = [jax.tree.leaves(front.params) for front in (both.fronts[0], both.fronts[1], alone.front)]
    for zero, one, other in zip(*policies, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
        assert zero.size < 4 or not np.allclose(zero, one)


@pytest.mark.slow
def test_evaluated_again_and_on_another_system(run):
    """Six servers after three, as no weight of the network belongs to one; half the steps, so less of both."""
    other = reevaluate(run.path, EvaluateSettings(episodes=8, env_kwargs={"num_edges": 6, "max_edges": 6, "steps": 50}))
    assert (other[0].returns.mean(axis=0) > 0.75 * run.front.returns.mean(axis=0)).all()
    with pytest.raises(UserError, match="num_edges must be whole numbers from 1 to max_edges = 4"):
        reevaluate(run.path, EvaluateSettings(env_kwargs={"num_edges": 5}))


@pytest.mark.slow
def test_on_the_host_too(tmp_path):
    config = GMORLConfig(**SMALL, num_preferences=3)
    found = small(tmp_path / "host", config=config, backend="host", steps=800)
    assert found.front.conditional
    assert morl.load(found.path).front.policy([1.0, 0.0])(np.zeros(2, np.int32)).shape == ()


def test_one_policy_each_goes_through_the_archive(tmp_path):
    config = SeparateSACConfig(**SMALL, num_policies=3)
    found = small(tmp_path / "apart", "dsac", config, steps=2400)
    front = morl.load(found.path).front
    assert not front.conditional
    with pytest.raises(UserError, match="trained for one preference"):
        front.at(0)(np.zeros(2, np.int32), [0.5, 0.5])


@pytest.mark.slow  # the parts are tested by themselves: test_discrete_sac, test_preference_networks
def test_tchebycheff_and_the_published_network_train(tmp_path):
    config = GMORLConfig(
        **{**SMALL, "gradient_steps": 1},
        scalarisation="tchebycheff",
        network="convolution",
        channels=8,
        blocks=1,
        num_preferences=3,
    )
    assert len(small(tmp_path / "run", config=config, steps=400, env="mec-offloading-v0", env_kwargs=MEC).front) >= 1
