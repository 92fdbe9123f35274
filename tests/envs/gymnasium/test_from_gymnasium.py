"""Host environments: no transition crosses the end of an episode, whatever the auto-reset mode or the processes."""

import dataclasses
import os
import random
import signal
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from mo_gymnasium.wrappers.vector import MOSyncVectorEnv

import morl
from morl.envs.gymnasium.host_vector import HostVectorEnv
from morl.errors import MissingExtraError, UserError, WorkerError
from tests.envs.host.counting import ID, Counting

NUMBER, STEPS = 5, 60


def transitions(envs):
    """The valid transitions of each environment: rows of (obs, action, reward, next_obs, terminated, truncated)."""
    rows = [[] for _ in range(envs.num_envs)]
    rng = np.random.default_rng(0)
    actions_of = [rng.integers(0, 5, size=1000) for _ in range(NUMBER)]
    obs = envs.reset(seed=7)
    for _ in range(STEPS):
        actions = np.array([actions_of[i][len(rows[i])] for i in range(envs.num_envs)])
        out = envs.step(actions)
        for i in np.flatnonzero(out.valid):
            ended = (out.terminated[i], out.truncated[i])
            rows[i].append((*obs[i], actions[i], *out.reward[i], *out.next_obs[i], *ended))
        obs = out.obs
    envs.close()
    return [np.array(row, float) for row in rows]


def make_counting(mode):
    def build():
        return gymnasium.make(ID, disable_env_checker=True)

    if mode == "own":
        return morl.make(f"tests.envs.host.counting:{ID}", "host").make_vector(NUMBER)
    if mode != "next_step":
        return morl.make(f"tests.envs.host.counting:{ID}", "host").make_vector(NUMBER, processes=mode)
    return HostVectorEnv(MOSyncVectorEnv([build] * NUMBER), 3)


@pytest.fixture(scope="module")
def reference():
    return transitions(make_counting("own"))


def test_every_transition_is_within_one_episode(reference):
    for rows in reference:
        episode, t, action, reward_episode, reward_t, reward_action, next_episode, next_t, terminated, truncated = (
            rows.T
        )
        np.testing.assert_array_equal(next_episode, episode)
        np.testing.assert_array_equal(next_t, t + 1)
        np.testing.assert_array_equal(reward_episode, episode)
        np.testing.assert_array_equal(reward_t, t + 1)
        np.testing.assert_array_equal(reward_action, action)
        assert not (terminated * truncated).any()
        ended = (terminated + truncated) > 0
        np.testing.assert_array_equal(t[1:], np.where(ended[:-1], 0, t[:-1] + 1))
        np.testing.assert_array_equal(episode[1:], episode[:-1] + ended[:-1])
        even = next_t[ended] % 2 == 0
        np.testing.assert_array_equal(terminated[ended] > 0, even)
        assert even.any()
        assert (~even).any()


def test_next_step_resets_are_dropped_and_nothing_else(reference):
    """MO-Gymnasium's vector spends a step on each reset; its valid transitions are the same, only fewer."""
    for one, two in zip(reference, transitions(make_counting("next_step")), strict=True):
        ends = int(two[:, -2:].sum())
        assert len(two) in (STEPS - ends, STEPS - ends + 1)
        assert ends > 5
        np.testing.assert_array_equal(two, one[: len(two)])


class VectorSync(SyncVectorEnv):
    """Gymnasium's vector environment with room for vector rewards, in any mode."""

    def __init__(self, env_fns, mode):
        super().__init__(env_fns, autoreset_mode=mode)
        self._rewards = np.zeros((len(env_fns), 3))


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("kind", [VectorSync, AsyncVectorEnv])
def test_every_mode_of_vector_environments_gives_the_same(reference, kind, mode):
    if kind is VectorSync:
        envs = VectorSync([Counting] * 2, mode)
    else:
        envs = AsyncVectorEnv([Counting] * 2, context="spawn", autoreset_mode=mode)
    spends_a_step = kind is VectorSync and mode is AutoresetMode.NEXT_STEP
    for one, two in zip(reference, transitions(HostVectorEnv(envs, 3)), strict=False):
        ends = int(two[:, -2:].sum())
        assert ends > 5
        assert len(two) in ((STEPS - ends, STEPS - ends + 1) if spends_a_step else (STEPS,))
        np.testing.assert_array_equal(two, one[: len(two)])


@pytest.mark.parametrize("processes", [1, 2, NUMBER])
def test_worker_processes_give_the_same(reference, processes):
    for one, two in zip(reference, transitions(make_counting(processes)), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("mode", ["own", 2, "next_step"])
def test_after_once_there_is_one_episode_of_each(reference, mode):
    envs = make_counting(mode)
    rng = np.random.default_rng(0)
    actions_of = [rng.integers(0, 5, size=1000) for _ in range(NUMBER)]
    obs = envs.reset(seed=7, once=True)
    rows = [[] for _ in range(NUMBER)]
    for t in range(10):
        out = envs.step(np.array([actions[t] for actions in actions_of]))
        for i in np.flatnonzero(out.valid):
            ended = (out.terminated[i], out.truncated[i])
            rows[i].append((*obs[i], actions_of[i][t], *out.reward[i], *out.next_obs[i], *ended))
        if mode != "next_step":  # that one is MO-Gymnasium's
            assert not out.reward[~out.valid].any()
            assert not (out.terminated | out.truncated)[~out.valid].any()
        obs = out.obs
    for one, rows_of_it in zip(reference, rows, strict=True):
        np.testing.assert_array_equal(rows_of_it, one[one[:, 0] == 0])
    assert not out.valid.any()
    if mode == "own":
        assert [env.unwrapped.t for env in envs._envs.envs] == [len(row) for row in rows]
    for one, again in zip(reference, transitions(envs), strict=True):  # which resets: from then on as ever
        np.testing.assert_array_equal(again, one[: len(again)])
        assert again[-1, 0] > 0


@pytest.mark.parametrize("mode", ["own", 2, NUMBER])
def test_after_once_for_some_the_others_rest(mode):
    """Mark all of one worker's environments, or none."""
    marked = np.arange(NUMBER) < NUMBER // 2
    every, some = (make_counting(mode) for _ in range(2))
    every.reset(seed=7, once=True)
    first = some.reset(seed=7, once=marked)
    for t in range(10):
        expected, out = (envs.step(np.full(NUMBER, t % 5)) for envs in (every, some))
        for name in ("reward", "obs", "next_obs", "terminated", "truncated", "valid"):
            np.testing.assert_array_equal(getattr(out, name)[marked], getattr(expected, name)[marked])
        np.testing.assert_array_equal(out.obs[~marked], first[~marked])
        assert not out.valid[~marked].any()
        assert not out.reward[~marked].any()
        assert not (out.terminated | out.truncated)[~marked].any()
    every.close()
    some.close()


def test_a_host_environment_describes_itself():
    env = morl.make("resource-gathering-v0", "host")
    assert env.id == "resource-gathering-v0"
    assert [objective.name for objective in env.objectives] == ["enemy", "gold", "gem"]
    np.testing.assert_array_equal(env.reference_point, [-1, -1, -1])
    unknown = morl.make(f"tests.envs.host.counting:{ID}")
    assert [objective.name for objective in unknown.objectives] == ["objective_0", "objective_1", "objective_2"]
    assert unknown.reference_point is None
    assert morl.make("tests.envs.host.counting:morl-test/Endless-v0").max_episode_steps == 3


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nan", r"Counting-v0, step 2 of an episode: reward \[0.0, nan, 1.0\] is not finite"),
        ("length", r"Counting-v0, step 2 of an episode: reward of shape \(2,\), not \(3,\) as its reward_space says"),
        ("shape", r"Counting-v0, step 2 of an episode: observation of shape \(1,\), not \(2,\)"),
    ],
)
@pytest.mark.parametrize("processes", [0, 2])
def test_faulty_environments_are_named_with_their_step(fault, message, processes):
    envs = morl.make(f"tests.envs.host.counting:{ID}", fault=fault).make_vector(4, processes)
    envs.reset(seed=0)

    def run():
        for _ in range(30):
            envs.step(np.ones(4, int))

    with pytest.raises(UserError, match=message):
        run()
    envs.close()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            "raise",
            r"step \d of an episode raised ZeroDivisionError: division by zero \(.*counting.py:\d+\), in a worker",
        ),
        ("leave", r"step \d of an episode raised SystemExit: 0 \(.*counting.py:\d+\), in a worker"),
        ("die", r"Counting-v0: worker process 0 ended with exit code 3"),
    ],
)
def test_a_lost_worker_is_one_error_and_no_hang(fault, message):
    envs = morl.make(f"tests.envs.host.counting:{ID}", fault=fault).make_vector(4, processes=2)
    workers = envs._envs._workers
    envs.reset(seed=0)

    def run():
        for _ in range(30):
            envs.step(np.ones(4, int))

    with pytest.raises(UserError, match=message):
        run()
    with pytest.raises(UserError, match="its worker processes have ended"):
        envs.step(np.ones(4, int))
    assert not any(worker.is_alive() for worker in workers)
    envs.close()


def test_signals_to_all_of_a_group_are_left_to_the_parent():
    """A terminal sends Ctrl-C, and ``timeout`` SIGTERM, to the workers too; the parent may have a front to write."""
    envs = morl.make(f"tests.envs.host.counting:{ID}").make_vector(4, processes=2)
    envs.reset(seed=0)
    for number in (signal.SIGINT, signal.SIGTERM):
        assert number not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        for worker in envs._envs._workers:
            os.kill(worker.pid, number)
    for _ in range(3):
        envs.step(np.ones(4, int))
    envs.close()


SCRIPT = """
import sys, time
import numpy as np
import morl

if __name__ == "__main__":
    envs = morl.make("tests.envs.host.counting:morl-test/Counting-v0").make_vector(4, processes=2)
    envs.reset(seed=0)
    print(*(worker.pid for worker in envs._envs._workers), flush=True)
    while sys.argv[1] == "interrupted":
        envs.step(np.ones(4, int))
"""


@pytest.mark.parametrize("way", ["interrupted", "left open"])
def test_workers_end_with_a_script_that_does_not_close_them(way, tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    script = subprocess.Popen(
        [sys.executable, path, way],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        workers = [int(pid) for pid in script.stdout.readline().split()]
        assert len(workers) == 2
        if way == "interrupted":
            os.killpg(script.pid, signal.SIGINT)
        _, errors = script.communicate(timeout=30)
    except BaseException:
        os.killpg(script.pid, signal.SIGKILL)  # a test that fails leaves nothing behind
        raise
    assert script.returncode == (-signal.SIGINT if way == "interrupted" else 0)
    assert errors.count("Traceback") == (way == "interrupted"), errors
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_script_without_a_guard_is_told_so(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.replace('if __name__ == "__main__":', "if True:"))
    done = subprocess.run(
        [sys.executable, path, ""], env={**os.environ, "PYTHONPATH": os.getcwd()}, capture_output=True, timeout=60
    )
    assert "WorkerError: morl-test/Counting-v0: worker process 0 ended with exit code 1 before" in done.stderr.decode()
    assert "guard its entry by if __name__ == '__main__'" in done.stderr.decode()


def test_an_interrupted_step_leaves_no_answer_for_the_next(monkeypatch):
    envs = morl.make(f"tests.envs.host.counting:{ID}").make_vector(4, processes=2)
    envs.reset(seed=0)

    def interrupt(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(envs._envs._pipes[0]), "recv", interrupt)
        with pytest.raises(KeyboardInterrupt):
            envs.step(np.ones(4, int))
    with pytest.raises(UserError, match="its worker processes have ended"):
        envs.step(np.ones(4, int))


def test_an_environment_that_cannot_be_closed_in_a_worker_is_one_error(capfd):
    env = morl.make(f"tests.envs.host.counting:{ID}")  # one that fails is closed and told of when its spaces are read
    envs = dataclasses.replace(env, kwargs={"fault": "close"}).make_vector(4, processes=2)
    workers = envs._envs._workers
    envs.reset(seed=0)
    with pytest.raises(WorkerError, match=r"close raised RuntimeError: cannot be closed \(.*\), in a worker") as caught:
        envs.close()
    assert "Traceback" in caught.value.details
    assert not any(worker.is_alive() for worker in workers)
    envs.close()
    assert "Traceback" not in capfd.readouterr().err


def test_an_environment_that_cannot_be_made_in_a_worker_is_one_error():
    env = morl.make(f"tests.envs.host.counting:{ID}")
    broken = dataclasses.replace(env, kwargs={"fault": "start"})
    with pytest.raises(UserError, match=r"constructor raised RuntimeError: no licence \(.*\), in a worker"):
        broken.make_vector(2, processes=1)


@pytest.mark.parametrize("processes", [0, 2])
@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([0, 5], r"actions \[0, 5\] \(int64\); allowed: each in Discrete\(5\)"),
        ([-1, 0], r"allowed: each in Discrete\(5\)"),
        ([0.0, 1.0], r"actions \[0.0, 1.0\] \(float64\); allowed: each in Discrete\(5\)"),
        ([0], r"actions of shape \(1,\); allowed: \(2,\)"),
        ([[0], [1]], r"actions of shape \(2, 1\)"),
        ([[0], [1, 2]], r"are no array; allowed: one of shape \(2,\)"),
    ],
)
def test_actions_outside_the_space_are_refused(actions, message, processes):
    envs = morl.make(f"tests.envs.host.counting:{ID}").make_vector(2, processes)
    envs.reset(seed=0)
    with pytest.raises(UserError, match=message):
        envs.step(actions)
    envs.step([0, 4])  # and it goes on
    envs.close()


@pytest.mark.parametrize("processes", [0, 2])
@pytest.mark.parametrize("seed", [-1, 1.5, "a", [1], [1, -2], [1, 2, 3]])
def test_seeds_that_cannot_be_are_refused(seed, processes):
    envs = morl.make(f"tests.envs.host.counting:{ID}").make_vector(2, processes)
    with pytest.raises(UserError, match="allowed: a whole number from 0 on, or a list of 2"):
        envs.reset(seed)
    np.testing.assert_array_equal(envs.reset(np.int64(3)), envs.reset([3, 4]))  # and it goes on
    envs.close()


@pytest.mark.parametrize(
    "actions", [[[1.5], [0.0]], [[np.nan], [0.0]], [["a"], ["b"]], [[1j], [0j]], [[True], [0 > 1]]]
)
def test_continuous_actions_outside_the_space_are_refused(actions):
    envs = morl.make("mo-mountaincarcontinuous-v0", "host").make_vector(2)
    envs.reset(seed=0)
    with pytest.raises(UserError, match=r"allowed: each in Box\(-1.0, 1.0"):
        envs.step(actions)
    envs.step([[1.0], [0.0]])
    envs.close()


def test_vectors_that_cannot_work_are_refused():
    with pytest.raises(UserError, match="has a scalar reward"):
        morl.make("tests.envs.host.counting:morl-test/Scalar-v0")
    with pytest.raises(UserError, match="SyncVectorEnv keeps scalar rewards"):
        HostVectorEnv(SyncVectorEnv([Counting]), 3)
    unknown = VectorSync([Counting], AutoresetMode.DISABLED)
    unknown.metadata = {}
    with pytest.raises(UserError, match=r"auto-reset mode None in its metadata; allowed: AutoresetMode\.NEXT_STEP, "):
        HostVectorEnv(unknown, 3)
    with pytest.raises(UserError, match="vector environment of Dict observations; allowed: arrays"):
        HostVectorEnv(gymnasium.make_vec("morl/mec-offloading-v0", num_envs=2), 2)
    slow = AsyncVectorEnv([Counting], shared_memory=False, context="spawn")
    with pytest.raises(UserError, match=r"NEXT_STEP without shared memory; allowed: .*SAME_STEP or DISABLED"):
        HostVectorEnv(slow, 3)
    slow.close()
    envs = morl.make(f"tests.envs.host.counting:{ID}").make_vector(2)
    with pytest.raises(UserError, match="call reset before step"):
        envs.step([0, 0])
    envs.reset(seed=0)
    envs.close()
    for wrong, message in (
        ({"num_envs": 0}, "num_envs must be at least 1"),
        ({"num_envs": 4, "processes": 5}, r"processes must be from 0 to num_envs \(4\), not 5"),
        ({"num_envs": 4, "processes": -1}, "processes must be from 0"),
    ):
        with pytest.raises(UserError, match=message):
            morl.make(f"tests.envs.host.counting:{ID}").make_vector(**wrong)


@pytest.mark.parametrize(
    ("id", "kwargs", "message"),
    [
        ("fruit-tree-v0", {"foo": 1}, "fruit-tree-v0 has no keyword 'foo'; allowed: depth, .*max_episode_steps"),
        (
            "fruit-tree-v0",
            {"depth": 2},
            r"fruit-tree-v0 cannot be made with {'depth': 2}: AssertionError: Depth must be",
        ),
        (
            "fruit-tree-v0",
            {"max_episode_steps": 0},
            "cannot be made with .*: ValueError: Expect the `max_episode_steps`",
        ),
        (f"tests.envs.host.counting:{ID}", {"fault": "start"}, "cannot be made with .*: RuntimeError: no licence"),
        (f"tests.envs.host.counting:{ID}", {"faul": 1}, "Counting-v0 has no keyword 'faul'; allowed: fault"),
        (
            "tests.envs.host.counting:morl-test/Passing-v0",
            {"faul": 1},
            "'faul'; allowed: note, fault, max_episode_steps",
        ),
        ("tests.envs.host.counting:morl-test/Talking-v0", {}, "has a Text observation space; allowed: one of arrays"),
        ("tests.envs.absent:morl-test/Counting-v0", {}, "cannot import module 'tests.envs.absent'.*No module named"),
        (
            "tests.envs.host.counting:morl-test/Absent-v0",
            {},
            "unknown environment 'tests.envs.host.counting:morl-test/Absent-v0'; did you mean",
        ),
    ],
)
def test_what_cannot_be_made_says_why(id, kwargs, message):
    with pytest.raises(UserError, match=message):
        morl.make(id, "host", **kwargs)


def test_four_rooms_on_the_host_follow_their_seed():
    """MO-Gymnasium's draws its start by Python's global generator."""
    env = morl.make("four-room-v0", "host", maze=np.array([["_", "1", "_"], ["_", "G", "_"], ["_", "2", "3"]]))
    envs = env.make_vector(20)
    first = envs.reset(seed=0)
    random.seed(1)
    np.testing.assert_array_equal(envs.reset(seed=0), first)
    assert len(np.unique(first, axis=0)) > 2
    envs.close()


def test_minecart_on_the_host_follows_its_seed():
    """MO-Gymnasium's own ore draws ignore the seed of reset."""
    env = morl.make("minecart-v0", "host")

    def ore(seed):
        envs = env.make_vector(1)
        envs.reset(seed=seed)
        cart = envs._envs.envs[0].unwrapped.cart
        cart.pos = np.array([0.5, 0.84])
        obs = envs.step([0]).obs[0, 5:]
        envs.close()
        return obs

    np.testing.assert_array_equal(ore(3), ore(3))
    assert not np.array_equal(ore(3), ore(4))


def test_fishwood_is_cut_off_and_not_over():
    envs = morl.make("fishwood-v0", "host").make_vector(1)
    envs.reset(seed=0)
    for _ in range(1000):
        out = envs.step([0])
        if out.terminated[0] or out.truncated[0]:
            break
    assert (out.terminated[0], out.truncated[0]) == (False, True)
    envs.close()


@pytest.mark.parametrize(("id", "extra"), [("mo-hopper-v5", "mujoco"), ("mo-lunar-lander-v3", "box2d")])
def test_missing_extras_say_what_to_install(id, extra, monkeypatch):
    module = {"mujoco": "mujoco", "box2d": "Box2D"}[extra]
    for name in [
        name for name in sys.modules if "gymnasium.envs." in name
    ]:  # as if it were not installed, nor imported before
        if name.startswith(("gymnasium.envs.mujoco", "gymnasium.envs.box2d")) or name.count(".") == 3:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"needs the '{extra}' extra: pip install 'morlax\[{extra}\]'"):
        morl.make(id)


def test_every_installed_mo_gymnasium_id_makes_or_says_what_is_missing():
    ids = [id for id, spec in gymnasium.registry.items() if str(spec.entry_point).startswith("mo_gymnasium.")]
    assert len(ids) > 30
    made, refusals = [], {}
    for id in ids:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                env = morl.make(id, "host")
            except (MissingExtraError, UserError) as error:
                refusals[id] = str(error)
                continue
        made.append(id)
        assert env.reward_space.shape[0] == len(env.objectives) >= 2
    assert "cannot be used: its emulator nes-py fails with NumPy 2" in refusals.pop("mo-supermario-v0")
    assert all("needs the '" in message for message in refusals.values()), refusals
    assert {"fruit-tree-v0", "four-room-v0", "water-reservoir-v0", "mo-mountaincar-v0"} <= set(made)
