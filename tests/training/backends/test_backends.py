"""Back-ends agree, wherever transitions and returns come from: devices, padding, blocks, JAX, host or halves of it."""

import contextlib
import threading
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import morl
from morl.agents.cmorl.constrained import ConstrainedPPO
from morl.agents.cmorl.extension import Extension
from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.config import PPOConfig
from morl.training.backends.host import HostBackend
from morl.training.backends.host_double_buffered import DoubleBufferedHost
from morl.training.backends.jax import JaxBackend
from morl.training.evaluation import evaluate
from tests.probes import Probe
from tests.tiny import Wanderer

CONFIG = PPOConfig(num_envs=4, rollout_steps=8, minibatches=2, epochs=2, hidden=(8,))
ENV = morl.make("deep-sea-treasure-v0")
KEYS = list(jax.random.split(jax.random.key(0), 3))
PREFERENCES = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])


def learner():
    return PPO(CONFIG, ENV.observation_space, ENV.action_space, 2, 0.9, 10)


@dataclass(frozen=True)
class Follower(Wanderer):
    """Learner that compiles fast, whose step depends on everything of its batch."""

    def act(self, policy, obs, preference, key, *, greedy):
        return super().act(policy, obs + 1, preference, key, greedy=greedy)  # a linear policy is stuck at an obs of 0

    def update(self, state, batch, key):
        state, metrics = super().update(state, batch, key)
        on = (batch.valid & ~batch.terminated).astype(jnp.float32)
        reward = jnp.sum(batch.reward * batch.preference, -1) + on
        moved = jnp.einsum("tbo,tb->o", (batch.next_obs - 2.0 * batch.obs) / 10, reward)
        taken = jnp.mean(jax.nn.one_hot(batch.action, self.actions), (0, 1))
        weights = state.params["weights"] + 0.1 * jnp.outer(moved, taken)
        return state._replace(params={"weights": weights}), metrics


FOLLOWER = Follower(2, int(ENV.action_space.n), 2, step=0.5, rollout_steps=8)


def backend(devices=None, **changes):
    options = {"eval_episodes": 2, "gamma": 0.9, **changes}
    return JaxBackend(ENV, FOLLOWER, PREFERENCES, devices=devices, **options)


@pytest.fixture(scope="module")
def trained():
    trainer = backend()
    state, metrics = trainer.run(trainer.init(KEYS), 6)
    return trainer, trainer.policies(state), metrics


def close(one, two, **tolerance):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, **{"rtol": 1e-4, "atol": 1e-5, **tolerance})


def test_the_split_over_devices_changes_nothing(trained):
    """Three policies on two devices need a spare one; on one device they do not."""
    assert len(jax.devices()) == 2
    _, policies, metrics = trained
    single = backend(devices=jax.devices()[:1])
    state, single_metrics = single.run(single.init(KEYS), 6)
    assert all(value.shape == (3,) for value in metrics.metrics.values())
    close(single_metrics, metrics, rtol=1e-3)
    close(single.policies(state), policies)


def test_nor_does_it_on_the_host():
    outcomes = []
    for devices in (jax.devices(), jax.devices()[:1]):
        host = on_host(devices=devices)
        state, metrics = host.run(host.init(KEYS), 2)
        assert len(jax.tree.leaves(state.learners)[0].sharding.device_set) == len(devices)
        outcomes.append((host.policies(state), metrics))
        host.close()
    close(*outcomes, rtol=1e-3)


def on_host(preferences=PREFERENCES, devices=None, ahead=0):
    env = morl.make("deep-sea-treasure-v0", "host")
    return HostBackend(env, FOLLOWER, preferences, eval_episodes=2, gamma=0.9, devices=devices, ahead=ahead)


@pytest.fixture(scope="module")
def whole():
    with contextlib.closing(on_host()) as host:
        yield host


@pytest.fixture(scope="module")
def halves():
    """Yield a host of two halves on one device, of two policies and of one; the latter is half a rollout ahead."""
    with contextlib.closing(DoubleBufferedHost(on_host, PREFERENCES, jax.devices()[:1])) as host:
        yield host


def outcome(host, saved=None):
    """Return the results of three updates in two pieces, from the start or a saved state, and of an evaluation."""
    state, sums = host.init(KEYS if saved is None else KEYS[::-1]), None
    if saved is not None:
        state = host.restored(state, saved)
    for updates in (2, 1):
        state, sums = host.run(state, updates, sums)
    policies, five = host.policies(state), np.array([0, 1, 2, 1, 0])
    keys = jax.random.split(jax.random.key(7), 5)
    evaluation = host.evaluate(jax.tree.map(lambda x: x[five], policies), PREFERENCES[five], keys, 3)
    return policies, sums, evaluation, host.nonfinite(state), host.saved(state)


def test_halves_that_overlap_train_as_the_whole(whole, halves):
    once = outcome(halves)
    close(once, outcome(whole), rtol=1e-3)
    close(outcome(halves), once, rtol=0, atol=0)  # steps taken ahead do not leak into the next start


def test_halves_go_on_where_the_whole_was_saved(whole, halves):
    """Environments begin other episodes, the same for both."""
    saved = whole.saved(whole.run(whole.init(KEYS), 2)[0])
    close(outcome(halves, saved), outcome(whole, saved), rtol=1e-3)


@pytest.mark.parametrize("updating", [0, 1])
def test_one_half_steps_while_the_other_updates(halves, monkeypatch, updating):
    """The update ends only after a step that the other half begins only once it has begun."""
    state, _ = halves.run(halves.init(KEYS), 1)
    assert [len(half.started) for half in state] == [0, FOLLOWER.rollout_steps // 2]
    begun, stepped, met = threading.Event(), threading.Event(), []
    update = halves._halves[updating]._update
    envs = halves._halves[1 - updating]._pools.training
    step = envs.step

    def slow_update(*args):
        begun.set()
        met.append(stepped.wait(30))
        return update(*args)

    def late_step(actions):
        met.append(begun.wait(30) or begun.set())
        out = step(actions)
        stepped.set()
        return out

    monkeypatch.setattr(halves._halves[updating], "_update", slow_update)
    monkeypatch.setattr(envs, "step", late_step)
    halves.run(state, 1)
    assert all(met)


def test_a_failure_of_one_half_ends_the_other(monkeypatch):
    """Check that the other half stops before it has done all of its updates."""
    halves = DoubleBufferedHost(on_host, PREFERENCES, jax.devices()[:1])
    state, steps, failed = halves.init(KEYS), [], threading.Event()
    step = halves._halves[1]._pools.training.step

    def fails(actions):
        failed.set()
        raise RuntimeError("the simulator fell over")

    def counts(actions):
        steps.append(failed.wait(30))
        return step(actions)

    monkeypatch.setattr(halves._halves[0]._pools.training, "step", fails)
    monkeypatch.setattr(halves._halves[1]._pools.training, "step", counts)
    with contextlib.closing(halves), pytest.raises(RuntimeError, match="fell over"):
        halves.run(state, 100)
    assert len(steps) < 100 * FOLLOWER.rollout_steps


@pytest.mark.parametrize("method", ["ipo", pytest.param("cpo", marks=pytest.mark.slow)])
def test_nor_does_it_in_a_round_of_the_extension(method):
    ppo = learner()
    constrained = ConstrainedPPO(ppo, 1.0, method)
    extension = Extension(constrained, num_learners=3, rounds=2, updates=2, constraint_beta=0.9)
    policies = jax.tree.map(lambda *leaves: np.stack(leaves), *(ppo.policy(ppo.init(key)) for key in KEYS))
    returns = np.array([[1.0, -1.0], [3.0, -5.0], [8.0, -8.0]])
    outcomes = []
    for devices in (jax.devices(), jax.devices()[:1]):
        trainer = JaxBackend(ENV, constrained, PREFERENCES, eval_episodes=2, gamma=1.0, devices=devices)
        begun = extension.begin(1, returns, policies, np.array([0.0, -25.0]), set())
        state, metrics = trainer.run(trainer.init(KEYS, begun, extension.preferences(1)), 2)
        assert len(jax.tree.leaves(state.learners)[0].sharding.device_set) == len(devices)
        outcomes.append((trainer.policies(state), metrics))
    close(*outcomes, rtol=2e-3, atol=1e-4)
    changed = [
        not np.allclose(a, b) for a, b in zip(jax.tree.leaves(outcomes[0][0]), jax.tree.leaves(policies), strict=True)
    ]
    assert any(changed)


def test_pieces_of_any_length_give_the_same_bits(trained):
    """Check metrics too, as the length of a piece depends on the clock."""
    trainer, policies, metrics = trained
    state, sums = trainer.init(KEYS), None
    for updates in (1, 3, 2):
        state, sums = trainer.run(state, updates, sums)
    close((trainer.policies(state), sums), (policies, metrics), rtol=0, atol=0)
    assert sums.number.tolist() == [6, 6, 6]


def test_a_saved_state_goes_on_to_the_same_bits(trained):
    """Environments, optimisers and keys are in it; the spare policy is not."""
    trainer, policies, metrics = trained
    state, sums = trainer.run(trainer.init(KEYS), 2)
    saved = trainer.saved(state)
    assert {len(leaf) for leaf in jax.tree.leaves(saved)} == {3}
    assert all(isinstance(leaf, np.ndarray) and leaf.dtype != object for leaf in jax.tree.leaves(saved))
    trainer.run(state, 1)  # what was saved is a copy
    state = trainer.restored(trainer.init(KEYS[::-1]), saved)
    state, sums = trainer.run(state, 4, sums)
    close((trainer.policies(state), sums), (policies, metrics), rtol=0, atol=0)


def test_policies_differ_by_key_and_by_preference(trained):
    _, policies, _ = trained
    weights = policies["weights"]
    assert weights.shape[0] == 3
    assert not np.allclose(weights[0], weights[1])


def evaluated(env, learner, policies, preferences, keys, *, episodes, gamma):
    run = jax.jit(partial(evaluate, env, env.default_params, learner, episodes=episodes, gamma=gamma))
    return run(policies, jnp.asarray(preferences, jnp.float32), keys)


@pytest.fixture
def one_policy():
    """Return a learner for probes and one policy, stacked."""
    learner = Wanderer(2, 2, 2, step=0.5)
    return learner, jax.tree.map(lambda x: np.asarray(x)[None], learner.policy(learner.init(KEYS[0])))


def test_evaluation_in_blocks_is_the_evaluation(trained):
    """Seven policies by blocks of four, three episodes by two calls of two."""
    trainer, policies, _ = trained
    index = np.array([0, 1, 2, 2, 1, 0, 0])
    many = jax.tree.map(lambda x: x[index], policies)
    keys = jax.random.split(jax.random.key(7), 7)
    result = trainer.evaluate(many, PREFERENCES[index], keys, 3)
    assert result.discounted.shape == (7, 3, 2)
    direct = evaluated(ENV, trainer.learner, many, PREFERENCES[index], keys, episodes=3, gamma=0.9)
    assert len(np.unique(result.length)) > 1
    close(result, direct)  # nothing is random here, so which episodes they were does not matter


def test_host_and_compiled_evaluation_agree(trained):
    trainer, policies, _ = trained
    host = on_host()
    keys = jax.random.split(jax.random.key(7), 3)
    one = trainer.evaluate(policies, PREFERENCES, keys, 2)
    two = host.evaluate(policies, PREFERENCES, keys, 2)
    host.close()
    close(one, two)
    assert one.length.max() <= 100
    assert one.terminated.tolist() == two.terminated.tolist()
    assert one.terminated.any()


def test_evaluation_counts_one_episode_and_discounts_from_the_second_reward(one_policy):
    """The delayed probe pays (1, 2) on its second step and is over: 0.9 of it, whatever runs on beside it."""
    result = evaluated(Probe("delayed"), *one_policy, np.ones((1, 2)), jnp.stack(KEYS[:1]), episodes=3, gamma=0.9)
    np.testing.assert_allclose(result.discounted[0], [[0.9, 1.8]] * 3, rtol=1e-6)
    np.testing.assert_allclose(result.undiscounted[0], [[1.0, 2.0]] * 3)
    np.testing.assert_array_equal(result.length[0], [2, 2, 2])
    assert np.asarray(result.terminated).all()


def test_evaluation_stops_at_the_time_limit(one_policy):
    result = evaluated(Probe("endless"), *one_policy, np.ones((1, 2)), jnp.stack(KEYS[:1]), episodes=2, gamma=1.0)
    np.testing.assert_array_equal(result.length[0], [5, 5])
    assert not np.asarray(result.terminated).any()
    np.testing.assert_allclose(result.discounted[0], [[5.0, 10.0]] * 2)


def test_training_continues_the_same_environments(trained):
    """Episodes go on from one update to the next: the first observations of the second rollout are not all starts."""
    trainer, *_ = trained
    state, _ = trainer.run(trainer.init(KEYS), 1)
    assert np.asarray(state.runners.steps).max() > 0
    assert int(state.updates[0]) == 1
