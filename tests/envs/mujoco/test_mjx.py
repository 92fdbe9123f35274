"""Locomotion on MJX against MuJoCo through MO-Gymnasium: single steps from the same states."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

pytest.importorskip("mujoco.mjx", reason="needs the mjx extra")

import morl
from morl.envs.mujoco import mjx_contacts
from morl.errors import UserError
from morl.training.rollout import start_batch, step
from tests.envs.parity import mo_make

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*precision lowered"),
    pytest.mark.timeout(600),
]
STEPS = 300
IDS = ("mo-halfcheetah-v5", "mo-hopper-v5", "mo-walker2d-v5", "mo-ant-v5")
# Tolerances for one step in float32 and with another solver: about ten times the measured 99 % quantile.
TOLERANCE = {"mo-halfcheetah-v5": 2e-3, "mo-hopper-v5": 1e-4, "mo-walker2d-v5": 1e-3, "mo-ant-v5": 2e-3}


class Trace(NamedTuple):
    """STEPS steps of the reference, each from its current state; the last ones in the air, without contacts."""

    qpos: Any
    qvel: Any
    qacc_warmstart: Any
    place: Any
    action: Any
    obs: Any
    reward: Any
    terminated: Any
    contacts: Any


@pytest.fixture(autouse=True)
def rank_promotion() -> Iterator[None]:
    """Allow what MJX itself does."""
    with jax.numpy_rank_promotion("allow"):
        yield


def record(id: str, **kwargs: Any) -> Trace:
    reference = mo_make(id, disable_env_checker=True, **kwargs)
    env = reference.unwrapped
    rng = np.random.default_rng(0)
    reference.reset(seed=0)
    rows = []
    for _ in range(STEPS):
        data = env.data
        place = data.xpos[1, :2] if "ant" in id else data.qpos[:1]
        state = [np.array(x) for x in (data.qpos, data.qvel, data.qacc_warmstart, place)]
        action = rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
        obs, reward, terminated, truncated, _ = reference.step(action)
        rows.append((*state, action, obs, reward, terminated, data.ncon))
        if terminated or truncated:
            reference.reset()
    assert not truncated or terminated
    return Trace(*(np.array(column) for column in zip(*rows, strict=True)))


def replayed(env: Any, trace: Trace) -> tuple[Any, Any, Any]:
    from morl.envs.mujoco.mjx import State

    states = State(*(jnp.asarray(x, jnp.float32) for x in trace[:4]))

    def one(state: State, action: jax.Array) -> Any:
        return env.step(jax.random.key(0), state, action, env.default_params)[1:4]

    obs, reward, terminated = jax.jit(jax.vmap(one))(states, trace.action)
    return np.asarray(obs), np.asarray(reward), np.asarray(terminated)


def check(trace: Trace, outcome: Any, tolerance: float) -> None:
    obs, reward, terminated = outcome
    np.testing.assert_array_equal(terminated, trace.terminated)
    for ours, theirs in ((obs, trace.obs), (reward, trace.reward)):
        error = np.abs(ours - theirs).max(axis=1)
        assert np.quantile(error, 0.99) < tolerance, np.quantile(error, [0.5, 0.9, 0.99, 1])
        assert np.median(error) < tolerance / 10
    assert (trace.contacts > 0).mean() > 0.2


@pytest.mark.parametrize("id", [IDS[0], *(pytest.param(id, marks=pytest.mark.slow) for id in IDS[1:3])])
def test_steps_are_those_of_mujoco(id: str) -> None:
    trace = record(id)
    check(trace, replayed(morl.make(id, "jax"), trace), TOLERANCE[id])
    if id != "mo-halfcheetah-v5":
        assert trace.terminated.sum() > 5


@pytest.mark.slow  # a minute of compilation
def test_the_ant_steps_as_in_mujoco() -> None:
    trace = record("mo-ant-v5")
    obs, reward, terminated = replayed(morl.make("mo-ant-v5", "jax"), trace)
    check(trace, (obs, reward, terminated), TOLERANCE["mo-ant-v5"])
    assert trace.terminated.any()
    forces = np.abs(trace.obs[:, 27:]) > 0
    assert forces.any(axis=1).mean() > 0.1
    assert ((trace.reward[:, 2] + (trace.action**2).sum(axis=1) - 1)[forces.any(axis=1)] < -1e-5).any()  # contact cost


@pytest.mark.slow
@pytest.mark.parametrize("id", ["mo-hopper-2obj-v5", "mo-ant-2obj-v5"])
def test_two_objectives(id: str) -> None:
    trace = record(id)
    check(trace, replayed(morl.make(id, "jax"), trace), TOLERANCE[id.replace("-2obj", "")])


@pytest.mark.parametrize("id", IDS)
def test_spaces_and_starts(id: str) -> None:
    env, reference = morl.make(id, "jax"), mo_make(id)
    assert env.id == id
    assert env.observation_space.shape == reference.observation_space.shape
    assert env.action_space == reference.action_space
    assert env.reward_space == reference.unwrapped.reward_space
    spec = morl.registry.env_specs()[id]
    assert spec.backend == "host"  # unless asked for
    assert env.objectives == spec.objectives
    np.testing.assert_array_equal(env.reference_point, spec.reference_point)
    assert env.max_episode_steps == spec.max_episode_steps == reference.spec.max_episode_steps
    starts = jax.jit(jax.vmap(lambda key: env.reset(key, env.default_params)[1]))
    ours = starts(jax.random.split(jax.random.key(0), 500))
    theirs = np.array([reference.reset(seed=i)[0] for i in range(500)])
    assert ours.dtype == np.float32
    for i in range(theirs.shape[1]):
        if np.ptp(theirs[:, i]) == 0:
            np.testing.assert_allclose(ours[:, i], theirs[:, i], atol=1e-6)
        else:
            assert stats.ks_2samp(np.asarray(ours[:, i]), theirs[:, i]).pvalue > 1e-4, i


@pytest.mark.slow
def test_in_the_cores_rollout() -> None:
    """Run time limit, auto-reset, scan and vmap as a training does."""
    env = morl.make("mo-hopper-v5", "jax")
    params = env.default_params

    def body(lanes: Any, key: jax.Array) -> Any:
        keys = jax.random.split(key, 4)
        actions = jax.random.uniform(key, (4, 3), minval=-1.0, maxval=1.0)
        lanes, out = jax.vmap(lambda k, lane, a: step(env, params, k, lane, a))(keys, lanes, actions)
        return lanes, (lanes.steps, out)

    lanes = start_batch(env, params, jax.random.key(0), 4)
    _, (steps, out) = jax.jit(lambda lanes: jax.lax.scan(body, lanes, jax.random.split(jax.random.key(1), 60)))(lanes)
    done = np.asarray(out.terminated | out.truncated)
    assert done.sum() >= 4  # a random hopper falls within about 20 steps
    np.testing.assert_array_equal(np.asarray(steps)[done], 0)
    assert np.isfinite(out.reward).all()
    assert not out.truncated.any()


DRAWING = """
import sys, jax, mujoco, numpy as np
import morl
from morl.errors import UserError
from tests.envs.parity import mo_make

for id in sys.argv[1:]:
    env = morl.make(id, "jax")
    state, _ = env.reset(jax.random.key(0), env.default_params)
    state = state._replace(qpos=state.qpos.at[0].add(0.5))
    try:
        picture = env.render(state, env.default_params)
    except UserError:
        sys.exit(77)
    reference = mo_make(id, disable_env_checker=True, render_mode="rgb_array", camera_name="track")
    reference.reset(seed=0)
    data = reference.unwrapped.data
    data.qpos[:] = state.qpos
    mujoco.mj_forward(reference.unwrapped.model, data)
    assert (picture.shape, picture.dtype) == ((480, 480, 3), np.uint8)
    difference = np.abs(picture.astype(int) - reference.render()).mean()
    assert difference < 0.5, difference  # grey levels; 0 on one machine
    bent = env.render(state._replace(qpos=state.qpos.at[-1].add(0.3)), env.default_params)
    assert np.abs(picture.astype(int) - bent).mean() > 0.5
    assert env.render_fps == reference.metadata["render_fps"]
    reference.close()
"""


def test_pictures_are_those_of_the_reference() -> None:
    # a process of its own: MuJoCo chooses its OpenGL when it is imported
    run = subprocess.run(
        [sys.executable, "-c", DRAWING, "mo-hopper-v5", "mo-ant-v5"],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "MUJOCO_GL": "egl"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    if run.returncode == 77:
        pytest.skip("no OpenGL without a display here")
    assert run.returncode == 0, run.stderr
    assert "Exception ignored" not in run.stderr


def test_pictures_without_opengl(monkeypatch: pytest.MonkeyPatch) -> None:
    import mujoco

    def refuse(*_: Any) -> None:
        raise mujoco.FatalError("an OpenGL platform library has not been loaded")

    monkeypatch.setattr(mujoco, "Renderer", refuse)
    env = morl.make("mo-halfcheetah-v5", "jax")
    state, _ = env.reset(jax.random.key(0), env.default_params)
    with pytest.raises(UserError, match="set the environment variable MUJOCO_GL to egl or osmesa"):
        env.render(state, env.default_params)


def test_mjx_stays_as_it_is_elsewhere() -> None:
    from mujoco.mjx._src.collision_driver import _COLLISION_FUNC

    before = dict(_COLLISION_FUNC)
    env = morl.make("mo-ant-v5", "jax")
    state, _ = env.reset(jax.random.key(0), env.default_params)
    jax.eval_shape(env.step, jax.random.key(0), state, jnp.zeros(8), env.default_params)
    assert before == _COLLISION_FUNC
    with pytest.raises(KeyError), mjx_contacts.as_in_mujoco():
        _COLLISION_FUNC["a trace that fails"]
    assert before == _COLLISION_FUNC


def test_an_unknown_release_of_mjx(monkeypatch: pytest.MonkeyPatch) -> None:
    from mujoco.mjx._src import collision_driver

    monkeypatch.delattr(collision_driver, "_COLLISION_FUNC")
    monkeypatch.setattr(mjx_contacts, "_inside_mjx", mjx_contacts._inside_mjx.__wrapped__)
    with pytest.raises(UserError, match=r"mujoco-mjx 3.* keeps its collisions otherwise"):
        mjx_contacts.check()


def test_wrong_keywords() -> None:
    with pytest.raises(UserError, match="reset_noise_scale must be at least 0"):
        morl.make("mo-hopper-v5", "jax", reset_noise_scale=-1.0)
    with pytest.raises(
        UserError, match="mo-ant-v5 has no keyword 'colour'; allowed: reset_noise_scale, cost_objective"
    ):
        morl.make("mo-ant-v5", "jax", colour="red")
