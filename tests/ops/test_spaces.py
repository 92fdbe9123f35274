"""Kinds of spaces, and actions in the number type of their space."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import Space, spaces

from morl.agents.sac import action_space as sac
from morl.errors import UserError
from morl.ops import distributions
from morl.ops.spaces import all_inside, bounds_within, check_action_space, check_observation_space, to_jax, to_space

BOX = spaces.Box(-1, 1, (2,), np.float32)


class Own(Space):
    """Space of one's own, as some packages have for texts."""

    def __init__(self):
        super().__init__(None, str)


@pytest.mark.parametrize(
    ("space", "told"),
    [
        (spaces.Text(3), "has a Text observation space; allowed: one of arrays"),
        (spaces.Graph(BOX, None), "has a Graph observation space; allowed: one of arrays"),
        (Own(), "has a Own observation space; allowed: one of arrays"),
        (spaces.Sequence(BOX), "has a Sequence observation space; allowed: one of arrays"),
        (
            spaces.Dict(a=BOX, s=spaces.Sequence(BOX)),
            "has a Sequence observation space at ['s']; allowed: one of arrays",
        ),
        (
            spaces.Dict(a=spaces.Tuple([BOX, spaces.Dict(deep=Own())])),
            "has a Own observation space at ['a'][1]['deep']; allowed: one of arrays",
        ),
        (spaces.OneOf([spaces.Discrete(2), Own()]), "has a Own observation space at [1]; allowed: one of arrays"),
    ],
)
def test_observations_that_cannot_be_encoded_are_named_with_their_place(space, told):
    with pytest.raises(UserError, match=re.escape(told)):
        check_observation_space(space)


@pytest.mark.parametrize("space", [spaces.Dict(), spaces.Box(0, 1, (2, 0)), spaces.Tuple([spaces.Box(0, 1, (0,))])])
def test_observations_of_no_numbers_are_refused(space):
    with pytest.raises(UserError, match="which holds no numbers"):
        check_observation_space(space)


def test_observations_that_can():
    check_observation_space(spaces.Dict(a=BOX, t=spaces.Tuple([spaces.Text(3), spaces.MultiBinary((2, 2))])))


@pytest.mark.parametrize(
    ("space", "told"),
    [
        (spaces.Dict(a=BOX), "has a Dict action space; allowed: one array"),
        (spaces.Text(3), "has a Text action space; allowed: one array"),
        (Own(), "has a Own action space; allowed: one array"),
        (spaces.Box(-1, 1, (0,)), "holds no numbers"),
        (spaces.Discrete(3, start=2**31 - 2), "beyond 32 bits"),
        (spaces.MultiDiscrete([2, 2], start=[0, -(2**40)]), "beyond 32 bits"),
    ],
)
def test_actions_that_no_agent_chooses_are_refused_by_all(space, told):
    for refuse in (check_action_space, distributions.for_space, sac.for_space):
        with pytest.raises(UserError, match=told):
            refuse(space)


# --- Bounds -----------------------------------------------------------------------------------------------------------


def random_boxes(dtype, number=100):
    """Yield boxes of bounds that are not symmetric, in several magnitudes."""
    rng = np.random.default_rng(0)
    for _ in range(number):
        scale = 10.0 ** rng.integers(-2, 3) if dtype is np.float16 else 10.0 ** rng.integers(-6, 7)
        low = np.round(rng.uniform(-3, 1, 3) * scale, 8)
        yield spaces.Box(
            low.astype(dtype), (low + np.round(rng.uniform(0.1, 3, 3) * scale, 8)).astype(dtype), dtype=dtype
        )


@pytest.mark.parametrize("family", [distributions, sac])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_actions_at_a_bound_are_the_bound(family, dtype):
    units = jnp.asarray([[-1.0] * 3, [1.0] * 3, [0.3, -0.7, 0.999999]])
    for space in random_boxes(dtype):
        in_jax = np.asarray(family.for_space(space).to_env(units))
        assert ((in_jax >= space.low) & (in_jax <= space.high)).all()
        action = to_space(space, in_jax)
        assert action.dtype == space.dtype
        np.testing.assert_array_equal(action[:2], [space.low, space.high])
        assert space.contains(action[2])


def test_normal_actions_beyond_a_bound_are_the_bound():
    space = spaces.Box(np.array([-0.9, 0.1]), np.array([0.1, 0.7]), dtype=np.float64)
    action = to_space(space, distributions.for_space(space).to_env(jnp.array([[-9.0, 9.0], [9.0, -9.0]])))
    np.testing.assert_array_equal(action, [[-0.9, 0.7], [0.1, 0.1]])


def test_bounds_within_are_exact():
    space = spaces.Box(np.array([0.1, -1e300, 0.5]), np.array([0.6, 1e300, 0.5]), dtype=np.float64)
    low, high = bounds_within(space, np.float32)
    assert low.tolist() == [float(np.float32(0.1)), float(np.finfo(np.float32).min), 0.5]
    assert high.tolist() == [float(np.nextafter(np.float32(0.6), np.float32(0))), float(np.finfo(np.float32).max), 0.5]
    low, high = bounds_within(spaces.Box(2**53, 2**62 + 1, (1,), np.int64), np.float32)
    assert (int(low[0]), int(high[0])) == (2**53, 2**62)


@pytest.mark.parametrize(
    ("space", "action", "wanted"),
    [
        (spaces.Box(0.0, 0.1, (1,), np.float64), np.float32([0.1]), np.float64([0.1])),  # the nearest, above the bound
        (spaces.Box(0.0, 0.7, (1,), np.float64), np.float32([0.7]), np.float64([0.7])),  # the nearest, below it
        (spaces.Box(-3, 200, (2,), np.int16), np.float32([-2.0, 200.0]), np.int16([-2, 200])),
        (spaces.Box(0, 2**62 + 1, (1,), np.int64), np.float32([2**62]), np.int64([2**62 + 1])),
        (spaces.Box(0, 5, (2,), np.uint8), np.int32([0, 5]), np.uint8([0, 5])),
        (spaces.Discrete(3), np.int32(2), np.int64(2)),
        (spaces.MultiBinary(2), np.bool_([1, 0]), np.int8([1, 0])),
    ],
)
def test_actions_become_of_the_type_of_their_space(space, action, wanted):
    found = to_space(space, action)
    np.testing.assert_array_equal(found, wanted, strict=True)


@pytest.mark.parametrize(
    ("space", "action"),
    [
        (spaces.Box(0, 5, (1,), np.uint8), np.int32([-1])),
        (spaces.Box(0, 5, (1,), np.int32), np.float32([5.6])),
        (spaces.Box(0, 5, (1,), np.int32), np.float32([2.5])),
        (spaces.Box(0, 1, (1,), np.float64), np.float32([1.1])),
        (spaces.Box(0, 1, (1,), np.float64), np.float32([np.nan])),
        (spaces.Box(0, 0.1, (1,), np.float32), np.float64([0.100000003])),
        (spaces.Discrete(3), np.array(1.5, np.float32)),
    ],
)
def test_what_does_not_fit_is_left_for_a_check_to_refuse(space, action):
    assert to_space(space, action) is action
    assert not space.contains(action)


def test_actions_of_64_bits_stay_within_their_bounds_in_jax():
    space = spaces.Box(0.1, 0.7, (1,), np.float64)
    assert float(to_jax(space, np.array([0.7]), np.float32)[0]) <= 0.7
    np.testing.assert_array_equal(to_jax(spaces.Discrete(3), np.array(2), np.int32), np.int32(2), strict=True)


@pytest.mark.parametrize(
    ("space", "outside"),
    [
        (spaces.Discrete(3, start=2), np.array([2, 5])),
        (spaces.Discrete(3), np.array([1.0, 2.0])),
        (spaces.MultiDiscrete([[2, 3]], start=[[0, 1]]), np.array([[[1, 0]]])),
        (spaces.MultiBinary(2), np.array([[0, 2]])),
        (spaces.Box(0, 5, (2,), np.int32), np.array([[0, 6]])),
        (spaces.Box(0, 5, (2,), np.int32), np.array([[0.0, 2.0]])),
        (spaces.Box(0, 5, (2,), np.float32), np.array([[0.0, np.nan]], np.float32)),
    ],
)
def test_batches_of_actions_are_checked_as_one_by_one(space, outside):
    space.seed(0)
    assert all_inside(space, np.stack([space.sample() for _ in range(50)]))
    assert not all_inside(space, outside)
