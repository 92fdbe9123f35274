"""PPO for utilities: both criteria reach the exact optimum of a stochastic environment, for every utility by name."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

import morl
from morl.agents.ppo import PPOAgent, PPOAgentConfig
from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.config import PPOConfig
from morl.agents.ppo.utility import EpisodeUtility, ExpectedReturnUtility
from morl.envs.accrued import AccruedReturn
from morl.envs.base import Objective
from morl.errors import UserError
from morl.ops.utilities.named import UTILITIES, checked_utility, named_utility
from morl.types import Task
from tests.probes import Probe, experience, trainer, training

CONFIG = PPOConfig(
    num_envs=32,
    rollout_steps=8,
    epochs=4,
    minibatches=4,
    learning_rate=3e-3,
    hidden=(32,),
    entropy_coefficient=0.01,
    normalise_rewards=False,
    anneal=True,
)
UPDATES = 600
FIRST = np.array([[[2.0, 0.5], [0.5, 2.0]], [[0.6, 0.6], [0.6, 0.6]]])  # a lottery of two rewards, and a sure one
SECOND = np.array([[0.6, 0.0], [0.0, 0.6], [0.4, 0.4]])
POINTS = {  # of the utilities that have one; the others are of the returns themselves
    "tchebycheff": {"point": (2.5, 2.5)},
    "smooth-tchebycheff": {"point": (3.0, 2.5), "smoothness": 0.05},
    "achievement": {"point": (1.5, 1.5), "widths": (1.0, 0.95)},
    "nash-welfare": {"point": (0.3, 0.6)},
    "p-mean": {"point": (0.0, 0.2), "power": -2.0},
    "alpha-fair": {"point": (0.2, 0.0), "power": 2.0},
    "lexicographic": {"point": (1.6, 0.0)},
}
EVEN = jnp.array([0.5, 0.5])
EACH = {name: named_utility(name, 2, **POINTS.get(name, {})) for name in UTILITIES}


class LotteryState(NamedTuple):
    t: Any


@dataclass(frozen=True)
class Lottery:
    """Two steps: a lottery or something sure, then one objective, the other, or less of both; the time is observed."""

    id = "lottery-v0"
    objectives = (Objective("a"), Objective("b"))
    observation_space = spaces.Box(0, 1, (2,), np.float32)
    action_space = spaces.Discrete(3)
    reward_space = spaces.Box(0, 2, (2,), np.float32)
    reference_point = np.zeros(2)
    max_episode_steps = 2
    default_params = None

    def reset(self, key, params):
        return LotteryState(jnp.int32(0)), self._observe(jnp.int32(0))

    def _observe(self, t):
        return jax.nn.one_hot(t, 2, dtype=jnp.float32)

    def step(self, key, state, action, params):
        side = jax.random.bernoulli(key).astype(jnp.int32)
        first = jnp.asarray(FIRST, jnp.float32)[jnp.minimum(action, 1), side]
        reward = jnp.where(state.t == 0, first, jnp.asarray(SECOND, jnp.float32)[action])
        t = state.t + 1
        return LotteryState(t), self._observe(t), reward, t == 2, jnp.bool_(False), {}


def by_number(values, preference):
    """Return one of the named utilities, the one whose number the preference tells: all in one compiled program."""
    number = jnp.round(preference[0] * 100).astype(jnp.int32) - 40
    return jax.lax.switch(number, [lambda v, u=u: u(v, EVEN) for u in EACH.values()], values)


@cache
def trained(criterion):
    """Train a policy for each utility at once; return the environment, the learner and the stacked policies."""
    env = Lottery() if criterion == "ser" else AccruedReturn(Lottery(), 1.0)
    kind, more = (PPO, {}) if criterion == "ser" else (EpisodeUtility, {"utility": by_number})
    # weights that move need actions that are still tried
    config = replace(CONFIG, entropy_coefficient=0.05 if criterion == "ser" else 0.01)
    learner = kind(config, env.observation_space, env.action_space, 2, 1.0, UPDATES, **more)
    if criterion == "ser":
        learner = ExpectedReturnUtility(learner, 1.0, by_number)
    first = 0.40 + 0.01 * np.arange(len(EACH))
    backend = trainer(env, learner, np.stack([first, 1 - first], axis=1))
    state, _ = backend.run(backend.init(list(jax.random.split(jax.random.key(0), len(EACH)))), UPDATES)
    return env, learner, backend.policies(state)


def probabilities(learner, policies, obs):
    """Return the probabilities (P, n, 3) of actions of P policies at observations (n, ...)."""
    preference = jnp.zeros(2)
    logits = jax.vmap(lambda policy: learner.output(policy, jnp.asarray(obs, jnp.float32), preference))(policies)
    return np.asarray(jax.nn.softmax(logits, axis=-1), np.float64)


def utility_of(name, values):
    return float(EACH[name](jnp.asarray(values, jnp.float32), EVEN))


def expected_return(first, second):
    """Return E[R] for the probability of the lottery and those of the second actions."""
    return first * FIRST[0].mean(axis=0) + (1 - first) * FIRST[1, 0] + second @ SECOND


def best_expected(name):
    """Return the largest u(E[R]) over all policies, by a grid: E[R] is linear in probabilities, and u concave."""
    steps = np.linspace(0, 1, 101)
    grid = np.array([(a, b, 1 - a - b) for a in steps for b in steps if a + b <= 1 + 1e-9])
    means = np.concatenate([expected_return(first, grid) for first in (0.0, 1.0)])
    return float(jnp.max(EACH[name](jnp.asarray(means, jnp.float32), EVEN)))


def best_episodic(name):
    """Return the largest E[u(R)], by backward induction over what has been accrued."""
    values = [np.mean([max(utility_of(name, got + more) for more in SECOND) for got in lot]) for lot in FIRST]
    return max(values)


@pytest.mark.parametrize("name", UTILITIES)
def test_the_utility_of_the_expected_return_is_the_best(name):
    _, learner, policies = trained("ser")
    row = probabilities(learner, policies, np.eye(2))[list(EACH).index(name)]
    reached, best = utility_of(name, expected_return(row[0, 0], row[1])), best_expected(name)
    untrained = utility_of(name, expected_return(1 / 3, np.full(3, 1 / 3)))
    assert reached > best - 0.01 * max(abs(best), best - untrained)
    assert untrained < best - 0.03 * max(abs(best), best - untrained)


@pytest.mark.slow
@pytest.mark.parametrize("name", UTILITIES)
def test_the_expected_utility_of_the_return_is_the_best(name):
    _, learner, policies = trained("esr")
    accrued = np.concatenate([np.zeros((1, 2)), FIRST.reshape(-1, 2)])
    time = np.array([0, 0.5, 0.5, 0.5, 0.5])[:, None]
    obs = np.concatenate([np.eye(2)[(time[:, 0] > 0).astype(int)], accrued, time], axis=1)
    row = probabilities(learner, policies, obs)[list(EACH).index(name)]
    after = np.array([[utility_of(name, got + more) for more in SECOND] for got in accrued[1:]])
    lottery, sure = (row[1:] * after).sum(axis=1).reshape(2, 2).mean(axis=1)
    reached, best = row[0, 0] * lottery + (1 - row[0, 0]) * sure, best_episodic(name)
    untrained = (after.mean(axis=1).reshape(2, 2).mean(axis=1) * [1 / 3, 2 / 3]).sum()
    assert reached > best - 0.01 * max(abs(best), best - untrained)
    assert untrained < best - 0.03 * max(abs(best), best - untrained)


def test_the_two_criteria_differ():
    """The worst objective: 1.65 of the mean return, or 1.1 in the mean of episodes, by different second actions."""
    assert best_expected("max-min") == pytest.approx(1.65)
    assert best_episodic("max-min") == pytest.approx(1.1)
    followed = np.mean([utility_of("max-min", got + SECOND[2]) for got in FIRST[0]])
    assert followed == pytest.approx(0.9)  # of the policy with the best mean, in the mean of episodes


@pytest.mark.slow
def test_a_linear_utility_is_ppo_in_raw_units():
    """Both are the same update to the bit but for rounding of the weights, and the sum of increments is w·R."""
    env, weights = Probe("apart"), (0.2, 0.8)
    config = PPOConfig(**{**vars(CONFIG), "normalise_rewards": True, "preference_units": "raw"})
    plain = PPO(config, env.observation_space, env.action_space, 2, 0.9, 3)
    _, metrics = training(env, plain)(weights, 3)
    _, found = training(env, ExpectedReturnUtility(plain, 0.9, named_utility("linear", 2)))(weights, 3)
    for name in metrics:
        np.testing.assert_allclose(found[name], metrics[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_increments_add_up_to_the_utility_of_the_return():
    env = AccruedReturn(Lottery(), 0.9)
    learner = EpisodeUtility(CONFIG, env.observation_space, env.action_space, 2, 1.0, 1, utility=EACH["nash-welfare"])
    batch = experience(env, learner, learner.init(jax.random.key(0)), (0.5, 0.5))
    before, after = (np.asarray(env.observation_space.accrued(x)) for x in (batch.obs, batch.next_obs))
    rewards = np.asarray(batch.reward)
    np.testing.assert_allclose(after[1::2], rewards[0::2] + 0.9 * rewards[1::2], rtol=1e-6)
    np.testing.assert_array_equal(before[0::2], 0)
    increments = np.asarray(learner.increments(batch))
    whole = EACH["nash-welfare"](jnp.asarray(after[1::2]), EVEN)
    np.testing.assert_allclose(increments[0::2] + increments[1::2], whole, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(batch.next_obs[1::2, :, -1], 1)


@pytest.mark.slow
def test_continuous_actions_reach_what_no_weighted_sum_does():
    """Returns -(a - 0.6)² and -(a + 0.2)²: the weighted distances to 0 are equal at 2 (0.6 - a) = a + 0.2."""
    env = Probe("steer")
    config = PPOConfig(**{**vars(CONFIG), "rollout_steps": 16, "learning_rate": 3e-3, "entropy_coefficient": 0.0})
    learner = ExpectedReturnUtility(
        PPO(config, env.observation_space, env.action_space, 2, 0.9, 300),
        0.9,
        named_utility("tchebycheff", 2, point=(0.0, 0.0)),
    )
    state, _ = training(env, learner)((0.8, 0.2), 300, chunk=300)
    obs = jnp.zeros((1, 2))
    action = learner.act(learner.policy(state), obs, jnp.array([0.8, 0.2]), jax.random.key(1), greedy=True)
    assert float(learner.to_env(action)[0, 0]) == pytest.approx(1 / 3, abs=0.05)  # a weighted sum: 0.44


@pytest.mark.slow
@pytest.mark.parametrize("criterion", [pytest.param("ser", marks=pytest.mark.slow), "esr"])
def test_a_run_is_trained_read_back_and_acts(criterion, tmp_path):
    """Observations of the deep sea are one-hot cells; with esr they get the return so far and the time."""
    settings = {"num_envs": 4, "rollout_steps": 8, "epochs": 1, "minibatches": 2, "hidden": (8,), "num_policies": 2}
    shape = {"utility": "tchebycheff", "utility_point": (23.7, 0.0), "criterion": criterion}
    env, run = "deep-sea-treasure-v0", {"steps": 640, "evaluations": 1, "eval_episodes": 1, "final_episodes": 1}
    morl.train("ppo", env, out=tmp_path / "run", **run, **settings, **shape)
    policy = morl.load(tmp_path / "run").front.policy((0.5, 0.5))
    obs = np.zeros(2, np.int32) if criterion == "ser" else np.zeros(5, np.float32)
    assert policy(obs).shape == ()
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert ("utility" in rows[0].split(",")) == (criterion == "ser")


def returns_a_vector(returns):
    return returns


def not_a_number(returns):
    return jnp.sum(jnp.log(returns - 1.0))


def product(returns):
    return returns[0] * returns[1]


TASK = Task(Probe("choice").observation_space, spaces.Discrete(2), 2, 0.9, 10**6)


def test_a_function_of_ones_own():
    config = PPOAgentConfig(utility=product)
    assert config.utility == f"{__name__}:product"
    learner = PPOAgent(config, TASK).learner
    assert isinstance(learner, ExpectedReturnUtility)
    assert float(learner.utility(jnp.array([2.0, 3.0]), EVEN)) == 6


def test_mistakes_are_told_in_one_line():
    def make(**settings):
        return PPOAgent(PPOAgentConfig(**settings), TASK).learner

    with pytest.raises(UserError, match="unknown utility 'tchebychef'; did you mean tchebycheff"):
        make(utility="tchebychef")
    with pytest.raises(UserError, match="tchebycheff needs utility_point, 2 numbers"):
        make(utility="tchebycheff")
    with pytest.raises(UserError, match="utility_point has 2 numbers"):
        make(utility="tchebycheff", utility_point=(1, 2, 3))
    with pytest.raises(UserError, match="utility_widths finite and above 0"):
        make(utility="max-min", utility_widths=(1, 0))
    with pytest.raises(UserError, match="p-mean needs a utility_power of at most 1"):
        make(utility="p-mean", utility_point=(0, 0), utility_power=2)
    with pytest.raises(UserError, match="give one of them"):
        make(utility="max-min", aggregator="mgda")
    with pytest.raises(UserError, match="must be a function of a module"):
        make(utility=lambda returns: returns[0])
    with pytest.raises(UserError, match="criterion esr needs an environment in JAX"):
        make(criterion="esr")
    with pytest.raises(UserError, match="must return one number for returns"):
        checked_utility(returns_a_vector, "mine", 2)
    with pytest.raises(UserError, match="must be finite"):
        checked_utility(not_a_number, "mine", 2)
