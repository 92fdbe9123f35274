"""Our environments behind Gymnasium's interface, held to Gymnasium's own checks."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import morl
from morl.envs.gymnasium.to_gymnasium import GymnasiumEnv, GymnasiumVectorEnv
from morl.envs.gymnasium.wrappers import LinearReward
from morl.errors import UserError
from tests.envs.extras import native_specs
from tests.probes import Probe

IDS = [spec.id for spec in native_specs()]


@pytest.mark.filterwarnings("ignore:.*Box (action|observation) space")  # the water reservoir's have no upper bound
@pytest.mark.parametrize("id", IDS)
def test_check_env_through_the_scalariser(id):
    """Run Gymnasium's checker, whose warnings are errors in tests."""
    made = gymnasium.make(f"morl/{id}").unwrapped
    env = LinearReward(made, np.ones(made.reward_space.shape))
    with pytest.warns(UserWarning, match="different from the unwrapped version"):  # it is the wrapper that is checked
        check_env(env, skip_render_check=True)


@pytest.mark.parametrize("id", IDS)
def test_make_gives_a_vector_reward_and_the_time_limit(id):
    env = gymnasium.make(f"morl/{id}")
    functional = morl.make(id)
    assert env.spec.max_episode_steps == functional.max_episode_steps
    obs, info = env.reset(seed=1)
    assert env.observation_space.contains(obs)
    assert bool(info) == hasattr(functional, "info")
    obs, reward, terminated, truncated, info = env.step(env.action_space.sample(info.get("action_mask")))
    assert (reward.shape, reward.dtype) == (functional.reward_space.shape, np.float32)
    assert type(terminated) is type(truncated) is bool
    env.close()


def test_it_steps_as_the_functional_environment_does():
    functional = morl.make("minecart-v0")
    env = GymnasiumEnv("minecart-v0")
    env.reset(seed=4)
    assert env._key is not None
    key, state = env._key, env._state
    for action in [3, 3, 2, 3, 5, 4, 0, 0, 1]:
        key, key_step = jax.random.split(key)
        state, obs, reward, terminated, *_ = functional.step(
            key_step, state, jnp.int32(action), functional.default_params
        )
        got = env.step(action)
        np.testing.assert_allclose(got[0], obs, atol=1e-6)
        np.testing.assert_allclose(got[1], reward, atol=1e-6)
        assert got[2] == bool(terminated)


def test_nothing_returned_is_shared_between_steps():
    env = LinearReward(gymnasium.make("morl/minecart-v0"), [1, 2, 3])
    first = env.reset(seed=0)[0]
    kept = first.copy()
    one = env.step(3)
    two = env.step(3)
    np.testing.assert_array_equal(first, kept)
    assert not np.shares_memory(one[0], two[0])
    assert not np.shares_memory(one[4]["vector_reward"], two[4]["vector_reward"])
    assert one[1] == pytest.approx(float(one[4]["vector_reward"] @ [1, 2, 3]))
    assert isinstance(one[1], float)


@pytest.mark.parametrize("action", [4, -1, 1.5, "up", None, [0, 1]])
def test_actions_outside_the_space_are_refused(action):
    env = GymnasiumEnv("deep-sea-treasure-v0")
    env.reset(seed=0)
    with pytest.raises(UserError, match="allowed: an integer from 0 to 3"):
        env.step(action)


def test_continuous_actions():
    env = GymnasiumEnv(Probe("steer"))
    env.reset(seed=0)
    reward = env.step(np.array([0.6], np.float64))[1]
    np.testing.assert_allclose(reward, [0.0, -0.64], atol=1e-6)
    with pytest.raises(UserError, match=r"allowed: a member of Box"):
        env.step(np.array([3.0]))


def test_calls_out_of_order_and_settings_that_do_nothing():
    env = GymnasiumEnv("deep-sea-treasure-v0")
    with pytest.raises(ResetNeeded):
        env.step(0)
    with pytest.raises(UserError, match="has no reset options"):
        env.reset(options={"start": 3})
    with pytest.raises(UserError, match="has no render mode 'human'"):
        GymnasiumEnv("deep-sea-treasure-v0", render_mode="human")
    with pytest.raises(UserError, match="has no keyword 'mpa'"):
        GymnasiumEnv("deep-sea-treasure-v0", mpa="concave")
    with pytest.raises(UserError, match="num_envs must be at least 1"):
        GymnasiumVectorEnv("deep-sea-treasure-v0", num_envs=0)
    with pytest.raises(UserError, match="autoreset_mode must be NextStep or SameStep or Disabled, not Never"):
        GymnasiumVectorEnv("deep-sea-treasure-v0", autoreset_mode="Never")
    with pytest.raises(UserError, match="one per objective"):
        LinearReward(env, [1.0])
    with pytest.raises(UserError, match="has a scalar reward"):
        LinearReward(gymnasium.make("CartPole-v1"), [1.0, 2.0])


def test_make_vec_is_compiled_and_batched():
    envs = gymnasium.make_vec("morl/minecart-v0", num_envs=5)
    assert isinstance(envs.unwrapped, GymnasiumVectorEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    obs, _ = envs.reset(seed=3)
    assert obs.shape == (5, 7)
    assert envs.observation_space.contains(obs)
    envs.action_space.seed(0)
    obs, reward, terminated, truncated, _ = envs.step(envs.action_space.sample())
    assert (reward.shape, reward.dtype) == ((5, 3), np.float32)
    assert terminated.dtype == truncated.dtype == np.bool_
    assert terminated.shape == truncated.shape == (5,)
    assert envs.observation_space.contains(obs)
    envs.close()


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("id", ["deep-sea-treasure-v0", "minecart-v0"])
def test_the_vector_is_gymnasiums_of_single_ones(id, mode):
    """Compare with Gymnasium's SyncVectorEnv of scalarised single environments, for the same seeds and actions."""
    limit, weight, number = 7, np.array([1.0, 10.0, 100.0])[: len(morl.make(id).objectives)], 6

    def single():
        return gymnasium.wrappers.TimeLimit(LinearReward(GymnasiumEnv(id), weight), limit)

    reference = SyncVectorEnv([single] * number, autoreset_mode=mode)
    ours = GymnasiumVectorEnv(id, num_envs=number, max_episode_steps=limit, autoreset_mode=mode)
    np.testing.assert_allclose(ours.reset(seed=11)[0], reference.reset(seed=11)[0], atol=1e-6)
    rng = np.random.default_rng(0)
    ends = np.zeros(2, int)
    for _ in range(60):
        actions = rng.integers(ours.single_action_space.n, size=number)
        obs, reward, terminated, truncated, info = ours.step(actions)
        expected = reference.step(actions)
        np.testing.assert_allclose(obs, expected[0], atol=1e-6)
        np.testing.assert_allclose(reward @ weight, expected[1], atol=1e-4)
        np.testing.assert_array_equal(terminated, expected[2])
        np.testing.assert_array_equal(truncated, expected[3])
        assert ("final_obs" in info) == ("final_obs" in expected[4])
        if "final_obs" in info:
            np.testing.assert_array_equal(info["_final_obs"], expected[4]["_final_obs"])
            for a, b in zip(info["final_obs"], expected[4]["final_obs"], strict=True):
                assert (a is None) == (b is None)
                if a is not None:
                    np.testing.assert_allclose(a, b, atol=1e-6)
        ends += [terminated.sum(), truncated.sum()]
        if mode is AutoresetMode.DISABLED and (terminated | truncated).any():
            rows = terminated | truncated
            fresh, info = ours.reset(options={"reset_mask": rows})
            np.testing.assert_allclose(fresh, reference.reset(options={"reset_mask": rows.copy()})[0], atol=1e-6)
    assert ends[1] > 5
    assert ends[0] > 5 or id != "deep-sea-treasure-v0"
    reference.close()


def test_the_vectors_seeds_and_episodes_repeat():
    def trajectory(seed):
        envs = GymnasiumVectorEnv("minecart-v0", num_envs=3)
        outcome = [envs.reset(seed=seed)[0]]
        state = envs._batch.state._replace(position=jnp.tile(jnp.array([0.5, 0.84]), (3, 1)))
        envs._batch = envs._batch._replace(state=state)  # at a mine, where the ore is random
        outcome += [envs.step(np.zeros(3, int))[0] for _ in range(3)]
        return outcome

    assert data_equivalence(trajectory(1), trajectory(1), exact=True)
    one, other = trajectory(1), trajectory(2)
    assert not np.allclose(one[-1], other[-1])
    assert not np.allclose(one[-1][0], one[-1][1])


def test_stepping_compiles_once():
    envs = GymnasiumVectorEnv("deep-sea-treasure-v0", num_envs=3)
    envs.reset(seed=0)
    from morl.envs.gymnasium import compiled

    before = compiled.step_all._cache_size()
    for _ in range(5):
        envs.step(np.zeros(3, int))
        envs.reset()
    assert compiled.step_all._cache_size() == before + 1


def test_masked_actions_are_shown_and_refused():
    env = gymnasium.make("morl/mec-offloading-v0", num_edges=2, arrival_rate=1.0, strict=True)
    obs, info = env.reset(seed=0)
    assert env.observation_space.contains(obs)
    assert obs["servers"].shape == (11, 65)
    assert obs["action_mask"].tolist() == info["action_mask"].tolist() == [1] * 3 + [0] * 8
    assert info["num_edges"] == 2
    for _ in range(20):
        action = env.action_space.sample(info["action_mask"])
        assert action <= 2
        obs, _, _, _, info = env.step(action)
    with pytest.raises(UserError, match="action 7 for mec-offloading-v0 is masked; allowed now: 0, 1, 2"):
        env.step(7)
    flat = gymnasium.wrappers.FlattenObservation(env)
    obs, _ = flat.reset(seed=0)
    assert obs.shape == (11 * 65 + 11,)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_masked_actions_in_a_batch(mode):
    envs = gymnasium.make_vec(
        "morl/mec-offloading-v0",
        num_envs=4,
        vectorization_mode="vector_entry_point",
        max_episode_steps=3,
        autoreset_mode=mode,
    )
    obs, info = envs.reset(seed=0)
    assert envs.observation_space.contains(obs)
    np.testing.assert_array_equal(obs["action_mask"], info["action_mask"])
    edges = set()
    for _ in range(12):
        edges.add(tuple(obs["servers"][:, 0, 4]))
        np.testing.assert_array_equal(obs["action_mask"], obs["servers"][..., 2] >= 0)
        obs, *_ = envs.step(np.zeros(4, int))
    assert len(edges) >= 3  # each episode has its own systems, and their masks
    while obs["action_mask"].all():
        obs, *_ = envs.step(np.zeros(4, int))
    row = int(np.argmin(obs["action_mask"].sum(axis=1)))
    actions = np.zeros(4, int)
    actions[row] = np.argmin(obs["action_mask"][row])
    strict = GymnasiumVectorEnv("mec-offloading-v0", num_envs=4, strict=True)
    strict.reset(seed=0)
    strict._mask = obs["action_mask"]
    with pytest.raises(UserError, match=f"is masked in environment {row}; allowed now: 0"):
        strict.step(actions)
    *_, info = envs.step(actions)
    invalid = info["invalid_action"] | info.get("final_info", {}).get("invalid_action", False)
    np.testing.assert_array_equal(invalid, np.arange(4) == row)


class Choosy(Probe):
    """Probe that allows action 1 only, and tells which action it was given by its first reward."""

    observation_key = "place"

    def action_mask(self, obs):
        return np.broadcast_to(np.array([0, 1], np.int8), (*obs.shape[:-1], 2))

    def step(self, key, state, action, params):
        state, obs, reward, *ends = super().step(key, state, action, params)
        return state, obs, reward.at[0].set(action.astype(jnp.float32)), *ends


def test_a_masked_action_is_replaced_by_the_first_allowed_one_and_told():
    env = GymnasiumEnv(Choosy("constant"))
    for action in (0, 1):
        env.reset(seed=0)
        _, reward, *_, info = env.step(action)
        assert (reward[0], info["invalid_action"]) == (1.0, action == 0)
    envs = GymnasiumVectorEnv(Choosy("constant"), num_envs=2, autoreset_mode="Disabled")
    envs.reset(seed=0)
    _, reward, *_, info = envs.step(np.array([1, 0]))
    assert (reward[:, 0].tolist(), info["invalid_action"].tolist()) == ([1, 1], [False, True])


def test_without_auto_reset_environments_are_reset_by_a_mask():
    envs = GymnasiumVectorEnv("deep-sea-treasure-v0", num_envs=3, max_episode_steps=2, autoreset_mode="Disabled")
    with pytest.raises(UserError, match="the first reset must be of all environments"):
        envs.reset(options={"reset_mask": np.array([True, False, False])})
    envs.reset(seed=0)
    for wrong in ([True] * 3, np.ones(2, bool), np.zeros(3, bool), np.ones(3)):
        with pytest.raises(UserError, match=r"reset_mask must be a bool array \(3,\) with a True"):
            envs.reset(options={"reset_mask": wrong})
    envs.step(np.full(3, 2))
    envs.reset(options={"reset_mask": np.array([True, False, False])})
    *_, truncated, _ = envs.step(np.full(3, 2))
    assert truncated.tolist() == [False, True, True]
    with pytest.raises(UserError, match="environments that have ended: 1, 2; reset them by reset_mask"):
        envs.step(np.full(3, 2))
