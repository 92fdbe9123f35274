"""Conformance of every JAX-native environment of the registry to the contract."""

import math
from functools import partial

import jax
import numpy as np
import pytest
from gymnasium import spaces

import morl
from morl.errors import UserError
from morl.registry import EnvSpec, Objective, env_spec, env_specs, register_env
from morl.training.rollout import start_batch, step
from tests.envs.extras import native_cases, native_specs

T, B = 450, 16


def random_actions(env, key, num):
    """Return random actions (num, ...), up to 100 where the space is unbounded."""
    if isinstance(env.action_space, spaces.Discrete):
        return jax.random.randint(key, (num,), 0, env.action_space.n)
    if isinstance(env.action_space, spaces.MultiDiscrete):
        return jax.random.randint(key, (num, len(env.action_space.nvec)), 0, env.action_space.nvec[None])
    low, high = env.action_space.low, np.minimum(env.action_space.high, 100)
    return jax.random.uniform(key, (num, *low.shape), minval=low, maxval=high)


@pytest.fixture(params=native_cases(), scope="module")
def case(request):
    return request.param, morl.make(request.param.id)


@pytest.fixture(scope="module")
def trajectory(case):
    """Run random actions through the time limit and auto-reset layers: (T, B, ...) arrays."""
    _, env = case
    params = env.default_params

    def body(lanes, key):
        key_action, key_step = jax.random.split(key)
        actions = random_actions(env, key_action, B)
        following, out = jax.vmap(lambda k, lane, a: step(env, params, k, lane, a))(
            jax.random.split(key_step, B), lanes, actions
        )
        return following, (lanes.obs, actions, lanes.steps, out)

    @jax.jit
    def run(key_start, key_steps):
        return jax.lax.scan(body, start_batch(env, params, key_start, B), jax.random.split(key_steps, T))[1]

    return jax.tree.map(np.asarray, run(jax.random.key(0), jax.random.key(1)))


@pytest.fixture(scope="module")
def reset(case):
    """Return a function that starts 100 environments from as many keys."""
    _, env = case
    return jax.jit(lambda keys: jax.vmap(env.reset, (0, None))(keys, env.default_params))


@pytest.fixture(scope="module")
def starts(reset):
    """Return first observations (100, ...)."""
    return np.asarray(reset(jax.random.split(jax.random.key(5), 100))[1])


def test_the_registration_says_what_the_environment_says(case):
    spec, env = case
    assert env.id == spec.id
    assert env.objectives == spec.objectives
    np.testing.assert_array_equal(env.reference_point, spec.reference_point)
    assert env.max_episode_steps == spec.max_episode_steps
    assert env.reward_space.shape == (len(spec.objectives),)


def test_observations_and_rewards_lie_in_their_spaces(case, trajectory):
    _, env = case
    obs, _, _, out = trajectory
    for t in range(0, T, 7):
        for b in range(B):
            assert env.observation_space.contains(obs[t, b]), obs[t, b]
            assert env.observation_space.contains(out.next_obs[t, b])
    assert out.reward.dtype == np.float32
    slack = 1e-6
    assert (out.reward >= env.reward_space.low - slack).all()
    assert (out.reward <= env.reward_space.high + slack).all()


def test_ends_are_told_apart_and_lanes_start_over(case, trajectory, starts):
    _, env = case
    obs, _, steps, out = trajectory
    assert not (out.terminated & out.truncated).any()
    done = out.terminated | out.truncated
    assert done.any() or env.max_episode_steps > T
    low, high = starts.min(axis=0), starts.max(axis=0)
    # 0 for a fixed start; sizes of tasks are exponentially distributed
    spread = (3.0 if env.id.startswith("mec-") else 0.1) * (high - low) + 1e-6
    for t, b in zip(*np.nonzero(done[:-1]), strict=True):
        assert steps[t + 1, b] == 0
        assert ((obs[t + 1, b] >= low - spread) & (obs[t + 1, b] <= high + spread)).all()
    on = ~done[:-1]
    np.testing.assert_array_equal(obs[1:][on], out.next_obs[:-1][on])
    if env.max_episode_steps is None:
        assert not out.truncated.any()
    else:
        np.testing.assert_array_equal(out.truncated, (steps + 1 == env.max_episode_steps) & ~out.terminated)
        assert (steps < env.max_episode_steps).all()


def test_restarts_draw_afresh(case, starts):
    """Check that random starts differ between environments and episodes."""
    _, env = case
    random_start = not (starts == starts[0]).all()
    assert random_start == env.id.startswith(("mo-mountaincar", "water-reservoir", "mec-", "building-"))


def test_one_by_one_is_the_same_as_batched(case, reset):
    _, env = case
    params = env.default_params
    keys = jax.random.split(jax.random.key(3), 100)
    states, _ = reset(keys)
    actions = jax.jit(partial(random_actions, env, num=100))(jax.random.key(4))
    batched = jax.jit(jax.vmap(env.step, in_axes=(0, 0, 0, None)))(keys, states, actions, params)

    @jax.jit  # op by op each operation is a program of its own
    def one(key, action):
        state, _ = env.reset(key, params)
        return env.step(key, state, action, params)

    for i in range(5):
        for a, b in zip(jax.tree.leaves(one(keys[i], actions[i])), jax.tree.leaves(batched), strict=True):
            np.testing.assert_allclose(a, b[i], rtol=1e-6, atol=1e-7)


def test_registrations_hold_objectives_and_a_finite_reference_point():
    for spec in env_specs(plug_ins=False).values():
        assert all(isinstance(objective, Objective) for objective in spec.objectives), spec.id
        assert len(set(spec.objective_names)) == len(spec.objectives) == len(spec.reference_point), spec.id
        assert np.isfinite(spec.reference_point).all(), spec.id


def test_names_are_accepted_for_objectives():
    by_name = EnvSpec("x-v0", "", ["a", Objective("b", "m")], (0.0, 0.0))
    assert by_name == EnvSpec("x-v0", "", (Objective("a"), Objective("b", "m")), (0.0, 0.0))
    assert by_name.objective_names == ("a", "b")


@pytest.mark.parametrize(
    ("id", "kwargs", "names", "reference"),
    [
        (
            "mo-mountaincar-v0",
            {"add_speed_objective": True},
            ("time", "reverse", "forward", "speed"),
            (-200,) * 3 + (0,),
        ),
        ("hypergrid-v0", {"num_objectives": 3}, ("branin", "currin", "shubert"), (0,) * 3),
        ("ngrams-v0", {"ngrams": ("A", "V")}, ("A", "V"), (0, 0)),
        ("building-3d-v0", {"by_floor": True}, env_spec("building-9d-v0").objective_names, (0,) * 9),
        (
            "water-reservoir-v0",
            {"nO": 3, "time_limit": 10},
            ("flood_upstream", "water_deficit", "hydro_deficit"),
            (-650, -500, -43.6),
        ),
        ("breakable-bottles-v0", {"time_penalty": -2.0}, ("time", "bottles", "mess"), (-200, 0, -1)),
    ],
)
def test_keywords_change_objectives_and_reference_point(id, kwargs, names, reference):
    env = morl.make(id, "jax", **kwargs)
    assert tuple(objective.name for objective in env.objectives) == names
    np.testing.assert_allclose(env.reference_point, reference)
    assert env.reward_space.shape == (len(names),)


def test_a_registration_is_checked():
    with pytest.raises(UserError, match="2 objectives, 3 reference values"):
        EnvSpec("x-v0", "", ("a", "b"), (0.0, 0.0, 0.0))
    with pytest.raises(UserError, match="at least 2 objectives"):
        EnvSpec("x-v0", "", ("a",), (0.0,))
    with pytest.raises(UserError, match="'minecart-v0' is already registered"):
        register_env(EnvSpec("minecart-v0", "another", ("a", "b"), (0.0, 0.0)))


def test_impossible_settings_are_named():
    with pytest.raises(UserError, match="map must be one of convex, concave, mirrored"):
        morl.make("deep-sea-treasure-v0", map="flat")
    with pytest.raises(UserError, match="frame_skip must be at least 1"):
        morl.make("minecart-v0", frame_skip=0)
    with pytest.raises(UserError, match="depth must be one of 5, 6, 7, not 8"):
        morl.make("fruit-tree-v0", depth=8)
    with pytest.raises(UserError, match="woodproba must be at least 0 and at most 1"):
        morl.make("fishwood-v0", woodproba=90)
    with pytest.raises(UserError, match="nO must be 2, 3 or 4"):
        morl.make("water-reservoir-v0", nO=5)
    with pytest.raises(UserError, match="size must be at least 3"):
        morl.make("breakable-bottles-v0", size=2)
    with pytest.raises(UserError, match="goal_velocity must be at least"):
        morl.make("mo-mountaincar-v0", goal_velocity=1)
    with pytest.raises(UserError, match="maze must have one goal G, a start _"):
        morl.make("four-room-v0", maze=["_1 ", "   "])
    with pytest.raises(UserError, match="rows of equal length"):
        morl.make("four-room-v0", maze=["_1G", "  "])
    with pytest.raises(UserError, match="maze has 'Y'"):
        morl.make("four-room-v0", maze=["_1G", "  Y"])


@pytest.mark.parametrize("gamma", [1.05, -0.5, math.nan, math.inf, "0.9", True])
def test_exact_fronts_refuse_what_is_no_discount(gamma):
    """Try each registered environment that computes its front or coverage set."""
    tried = 0
    for spec in native_specs():
        env = morl.make(spec.id)
        for name in ("true_front", "true_coverage_set"):
            if compute := getattr(env, name, None):
                tried += 1
                with pytest.raises(UserError, match="gamma must be at least 0 and at most 1, not "):
                    compute(gamma=gamma)
    assert tried > 15
