"""Workers that end, raise or hang are replaced, and what they lost is told; the third time is the last."""

import os
import signal

import numpy as np
import pytest

import morl
from morl.errors import WorkerError

ACTIONS = [3, 3, 3, 3]  # to the right


@pytest.fixture
def envs():
    made = morl.make("deep-sea-treasure-v0", backend="host").make_vector(4, processes=2, restarts=2)
    made.reset(seed=0)
    yield made
    made.close()


def test_a_worker_that_ends_or_hangs_is_replaced(envs):
    pool = envs._envs
    envs.step(ACTIONS)
    os.kill(pool._workers[1].pid, signal.SIGKILL)
    out = envs.step(ACTIONS)
    assert out.lost.tolist() == [False, False, True, True]
    assert out.valid.tolist() == [True, True, False, False]
    assert out.truncated.tolist() == [False, False, True, True]
    assert not out.terminated.any()
    np.testing.assert_array_equal(out.obs[2:], 0)  # where every episode starts
    np.testing.assert_array_equal(out.next_obs[2:], 0)
    assert out.obs[:2].any()
    (told,) = envs.incidents()
    assert "worker process 1 ended with exit code -9; restarted (1 of 2 times), 2 episodes cut, 2 steps lost" in told
    assert envs.incidents() == []
    after = envs.step(ACTIONS)
    assert after.valid.all()
    assert after.obs[2:].any()

    os.kill(pool._workers[1].pid, signal.SIGSTOP)
    pool._patience = 1.0
    seen = envs.reset(seed=3)
    assert not seen.any()
    assert "did not answer for 1 s; restarted (2 of 2 times), nothing lost" in envs.incidents()[0]

    os.kill(pool._workers[1].pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match="ended with exit code -9; it failed 3 times"):
        envs.step(ACTIONS)
