"""Observations at the border: what agents see of them, and what policies refuse."""

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

import morl
from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.config import PPOConfig
from morl.envs.gymnasium.presentation import observations_of
from morl.errors import UserError
from morl.networks.encoders import encoder
from morl.registry import env_specs
from morl.runs.front import Policy
from morl.spaces import Observations
from tests.envs.extras import installed

LARGEST = np.iinfo(np.uint64).max


@pytest.mark.parametrize(
    ("space", "features", "one_hot"),
    [
        (spaces.Box(-np.inf, np.inf, (2,), np.int64), 2, False),
        (spaces.Box(0, 2**62, (2,), np.int64), 2, False),
        (spaces.Box(0, LARGEST, (2,), np.uint64), 2, False),
        (spaces.Box(0, 2**32 - 1, (2,), np.uint32), 2, False),
        (spaces.Box(-(2**31), 2**31 - 1, (2, 2), np.int32), 4, False),
        (spaces.Box(-(2**63), 2**63 - 1, (), np.int64), 1, False),
        (spaces.Box(0, 1000, (3,), np.int64), 3, False),
        (spaces.Box(0, 255, (4, 4), np.uint8), 16, False),
        (spaces.Box(2**40, 2**40 + 5, (2,), np.int64), 12, True),
        (spaces.Box(2**40, 2**40 + 3, (2,), np.uint64), 8, True),
        (spaces.Discrete(5, start=2**40), 5, True),
        (spaces.Discrete(2**40), 1, False),
        (spaces.MultiDiscrete([3, 4], start=[2**40, -(2**40)]), 7, True),
        (spaces.MultiDiscrete([2**40, 2]), 2, False),
        (spaces.MultiBinary(4), 4, True),
        (spaces.Box(-np.inf, np.inf, (2,), np.float64), 2, False),
    ],
    ids=str,
)
def test_agents_see_what_the_environment_gives_in_32_bits(space, features, one_hot):
    """Numbers are those of float64, rounded once; parts of few values are one-hot as Gymnasium flattens them."""
    observations = Observations(space)
    found = encoder(observations.seen)
    assert (found.size, found.one_hot) == (features, one_hot)
    space.seed(0)
    samples = np.stack([np.asarray(space.sample()) for _ in range(5)])
    seen = observations(samples)
    assert seen.dtype.itemsize < 8 or np.abs(seen).max() < 2**31  # JAX changes no value
    got = np.asarray(found.encode(np.asarray(seen)))
    if isinstance(space, spaces.Box) and one_hot:
        expected = [np.eye(features // 2)[row].ravel() for row in (samples - space.low).astype(int)]
    elif one_hot:
        expected = [spaces.flatten(space, sample) for sample in samples]
    else:
        expected = samples.astype(np.float64).astype(np.float32).reshape(5, -1)
    np.testing.assert_array_equal(got, expected)


def test_the_encoder_of_a_jax_environment_does_not_overflow_either():
    assert encoder(spaces.Box(-np.inf, np.inf, (2,), np.int64)).size == 2
    assert encoder(spaces.Box(0, LARGEST, (2,), np.uint64)).size == 2
    with pytest.raises(UserError, match="counts from 1099511627776, which 32 bits do not hold"):
        encoder(spaces.Discrete(5, start=2**40))


@pytest.mark.parametrize("unit", [1.0, 1e-9, 2.0**-100, 1e20])
def test_an_origin_is_subtracted_where_float32_would_lose_what_changes(unit):
    """1.7e9 plus or minus 20 has one, in any unit; what changes by more than 2**-12 of its size has none."""
    x = np.random.default_rng(0).uniform(-1, 1, (30, 4))
    samples = unit * (np.array([1.7e9, 0.0, 10.0, 3.0]) + np.array([20.0, 1.0, 0.1, 0.0]) * x)
    observations = Observations(spaces.Box(-np.inf, np.inf, (4,), np.float64))
    origin = observations.find_origin(samples)
    assert origin == {0: samples[0, 0], 3: samples[0, 3]}
    seen = observations.with_origin(origin, "config.yaml")(samples)
    np.testing.assert_allclose(seen[:, 0] / unit, 20 * (x[:, 0] - x[0, 0]), atol=1e-5)
    np.testing.assert_array_equal(seen[:, 1:3], samples[:, 1:3].astype(np.float32))
    np.testing.assert_array_equal(seen[:, 3], 0)


@pytest.mark.parametrize(("dtype", "middle"), [(np.int64, 2**62), (np.uint64, 2**63), (np.int64, -(2**63) + 30)])
def test_whole_numbers_lose_nothing_beside_their_origin(dtype, middle):
    samples = np.array([[middle + d] for d in (3, -2, 17, -20)], dtype)
    observations = Observations(spaces.Box(np.iinfo(dtype).min, np.iinfo(dtype).max, (1,), dtype))
    centred = observations.with_origin(observations.find_origin(samples), "config.yaml")
    assert centred(samples).ravel().tolist() == [0, -5, 14, -23]
    far = np.array([[np.iinfo(dtype).max], [np.iinfo(dtype).min]], dtype)
    np.testing.assert_allclose(centred(far), [[float(int(x[0]) - (middle + 3))] for x in far], rtol=1e-6)


@pytest.mark.parametrize("wrong", [{5: 1.0}, {0: "1"}, [1.0], {0: np.nan}, {0: 10**400}, {"0": 1.0}])
def test_an_origin_that_a_damaged_file_holds_is_refused_in_one_line(wrong):
    observations = Observations(spaces.Box(-np.inf, np.inf, (2,), np.float64), "my-env")
    with pytest.raises(UserError, match=r"^config.yaml: origin .* is not of numbers of my-env's observations$"):
        observations.with_origin(wrong, "config.yaml")


GRID = Observations(spaces.Box(0, 10, (2,), np.int32), "grid-v0")
PARTS = spaces.Dict(
    {"a": spaces.Box(-1, 1, (2,), np.float64), "b": spaces.Discrete(3), "c": spaces.Tuple((spaces.MultiBinary(2),))}
)
NESTED = Observations(spaces.flatten_space(PARTS), "nested-v0", PARTS)
MASKED = Observations(
    spaces.Box(0, 1, (3,), np.float32),
    "masked-v0",
    spaces.Dict({"obs": spaces.Box(0, 1, (3,), np.float32), "action_mask": spaces.MultiBinary(4)}),
    "obs",
    converted=False,
)
INSIDE = {"a": [0.5, -0.5], "b": 1, "c": ([1, 0],)}


@pytest.mark.parametrize(
    ("observations", "wrong", "message"),
    [
        (GRID, [0], r"grid-v0: observation of shape \(1,\); allowed: shape \(2,\), or \(B, 2\) for a batch"),
        (GRID, [0, 0, 0], r"shape \(3,\)"),
        (GRID, 3, r"shape \(\)"),
        (GRID, [], r"shape \(0,\)"),
        (GRID, np.empty((0, 2)), r"shape \(0, 2\)"),
        (GRID, [[[0, 0]]], r"shape \(1, 1, 2\)"),
        (GRID, [[0, 1], [2]], "is no array"),
        (GRID, "ab", "of str is not of numbers"),
        (GRID, None, "of NoneType is not of numbers"),
        (GRID, {"obs": [0, 0]}, "of dict is not of numbers"),
        (GRID, [11, 0], r"11 is not in Box\(0, 10"),
        (GRID, [[0, 0], [-1, 0]], "-1 is not in"),
        (GRID, [0.5, 0], "0.5 is not in"),
        (GRID, [2**32, 0], "4294967296 is not in"),
        (Observations(spaces.Discrete(3)), 3, r"3 is not in Discrete\(3\)"),
        (Observations(spaces.MultiBinary(2)), [0, 2], "2 is not in"),
        (Observations(spaces.MultiDiscrete([2, 3])), [0, 3], "3 is not in"),
        (Observations(spaces.Box(-1, 1, (1,), np.float32)), [np.nan], "nan is not in"),
        (NESTED, {"a": [0, 0]}, "mapping of a; allowed: a mapping of a, b, c"),
        (NESTED, (1, 2), "tuple; allowed: a mapping"),
        (NESTED, {**INSIDE, "b": 5}, "part b: 5 is not in"),
        (NESTED, {**INSIDE, "c": [[1, 0]]}, "part c: list; allowed: a tuple of 1"),
        (NESTED, {**INSIDE, "a": [[0, 0], [0, 0]]}, "batches of different sizes"),
        (MASKED, {"action_mask": [1, 1, 1, 1]}, "observation with action_mask; allowed: .*obs"),
        (MASKED, {"obs": [0, 0, 0], "mask": [1]}, "observation with obs, mask; allowed"),
    ],
)
def test_what_is_no_observation_of_the_space_is_refused(observations, wrong, message):
    with pytest.raises(UserError, match=message) as error:
        observations.read(wrong)
    assert "\n" not in str(error.value)


def test_observations_are_taken_single_and_in_batches():
    assert GRID.read([0.0, 3.0])[0].tolist() == [[0, 3]]
    assert GRID.read(np.array([[1, 2], [3, 4]], np.int64))[0].tolist() == [[1, 2], [3, 4]]
    flat, batch = NESTED.read(INSIDE)
    assert (flat.tolist(), batch) == ([[0.5, -0.5, 0, 1, 0, 1, 0]], False)
    assert NESTED.read(flat[0])[0].tolist() == flat.tolist()
    both, batch = NESTED.read({"a": [[0.5, -0.5]] * 2, "b": [1, 2], "c": ([[1, 0], [0, 1]],)})
    assert (both.tolist(), batch) == ([flat[0].tolist(), [0.5, -0.5, 0, 0, 1, 0, 1]], True)
    assert MASKED.read({"obs": [0, 0.5, 1], "action_mask": [1, 1, 1, 1]})[0].tolist() == [[0, 0.5, 1]]


@pytest.mark.parametrize("spec", [*filter(installed, env_specs().values())], ids=lambda spec: spec.id)
@pytest.mark.filterwarnings("ignore:.*is out of date", "ignore:.*precision lowered", "ignore:.*xdg_runtime_dir")
def test_policies_of_every_environment_take_what_its_space_samples_and_gymnasium_gives(spec):
    """An untrained policy in Gymnasium's own loop, of one environment and of a batch."""
    try:
        env = morl.make(spec.id)
    except UserError as error:
        pytest.skip(str(error))
    observations, size = observations_of(env), len(env.objectives)
    config = PPOConfig(hidden=(2,), num_envs=1, rollout_steps=4, minibatches=1)
    mask = getattr(env, "action_mask", None)
    ppo = PPO(config, observations.seen, env.action_space, size, 0.9, 1, mask)

    def act(params, obs, preference, key, greedy):
        return ppo.to_env(ppo.act(params, jax.numpy.asarray(obs), preference, key, greedy=greedy))

    weights = np.full(size, 1 / size)
    params = ppo.policy(ppo.init(jax.random.key(0)))
    policy = Policy(0, weights, weights, act, params, observations, env.action_space)
    on_host = hasattr(env, "make_vector")
    if mask is None:  # what the space of a masked environment samples need not have an action
        env.observation_space.seed(0)
        assert env.action_space.contains(policy(env.observation_space.sample()))
        assert len(policy(batch_space(env.observation_space, 2).sample())) == 2
    single = gymnasium.make(spec.id if on_host else f"morl/{spec.id}", disable_env_checker=True)
    obs, _ = single.reset(seed=0)
    batch = jax.tree.map(lambda x: np.stack([x, x]), obs)
    np.testing.assert_array_equal(policy(batch), [policy(obs)] * 2)
    single.step(policy(obs))
    single.close()
    with pytest.raises(UserError, match="observation of shape"):
        policy(np.zeros((1, 1, *env.observation_space.shape)))
