"""Every registered environment of MO-Gymnasium's that runs on the host, stepped; what is not installed is skipped."""

import warnings

import gymnasium
import mo_gymnasium  # noqa: F401 registers
import numpy as np
import pytest

import morl
from morl.errors import MissingExtraError
from morl.registry import env_specs

HOST = [spec for spec in env_specs().values() if spec.backend == "host"]


def steps(env, seed, processes=0, number=50):
    envs = env.make_vector(2, processes)
    env.action_space.seed(seed)
    obs = [envs.reset(seed=seed)]
    outs = []
    for _ in range(number):
        out = envs.step(np.stack([env.action_space.sample() for _ in range(2)]))
        obs.append(out.obs)
        outs.append(out)
    envs.close()
    return np.stack(obs), outs


@pytest.mark.parametrize("spec", HOST, ids=lambda spec: spec.id)
def test_it_steps_and_follows_its_seed(spec):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of their own
        try:
            env = morl.make(spec.id, "host")
        except MissingExtraError as error:
            if error.extra == spec.extra:
                pytest.skip(str(error))
            raise
        assert env.objectives == spec.objectives
        np.testing.assert_array_equal(env.reference_point, spec.reference_point)
        number = 5 if len(env.observation_space.shape) == 3 else 50  # pixels take a tenth of a second
        obs, outs = steps(env, seed=3, number=number)
        again, outs_again = steps(env, seed=3, number=number)
        other, _ = steps(env, seed=4, number=number)
    reward = np.stack([out.reward for out in outs])
    assert reward.shape == (number, 2, len(spec.objectives))
    assert np.isfinite(reward).all()
    np.testing.assert_array_equal(reward, [out.reward for out in outs_again])
    np.testing.assert_array_equal(obs, again)
    assert not np.array_equal(obs, other)


@pytest.mark.parametrize(("id", "number"), [("mo-hopper-v5", 130), ("mo-lunar-lander-v3", 130), ("minecart-rgb-v0", 4)])
def test_over_processes_it_is_the_same(id, number):
    try:
        env = morl.make(id, "host")
    except MissingExtraError as error:
        pytest.skip(str(error))
    obs, outs = steps(env, seed=5, number=number)
    obs_2, outs_2 = steps(env, seed=5, processes=2, number=number)
    np.testing.assert_array_equal(obs, obs_2)
    for a, b in zip(outs, outs_2, strict=True):
        for one, two in zip(a, b, strict=True):
            np.testing.assert_array_equal(one, two)
    assert any(out.terminated.any() for out in outs) or number < 10


def test_every_id_of_mo_gymnasium_has_names_and_a_reference_point():
    ids = {id for id, spec in gymnasium.registry.items() if str(spec.entry_point).startswith("mo_gymnasium.")}
    assert len(ids) > 30
    assert ids - env_specs().keys() == {"mo-supermario-v0"}  # which cannot be used
