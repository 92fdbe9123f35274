"""Oracles on the host: batched, remembered and counted, from compiled code, over processes, and when they fail."""

import logging
import multiprocessing
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from morl.envs.constructive.host_values import host_values, oracle_errors
from morl.envs.constructive.oracle import Counts, Oracle, OracleError


def square(x):
    """Return two objectives of a number."""
    return x * x, x / 2


def where(x):
    """Return the id of the computing process."""
    return x, os.getpid()


def ends_its_process(x):
    if multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return 0.0, 0.0


def ill(x):
    """Raise for some numbers."""
    if x == 3:
        raise ValueError("three is too many")
    return {4: (1.0,), 5: (float("nan"), 1.0), 6: None, 7: ("a", "b")}.get(x, (1.0, 1.0))


def values_of(oracle):
    """Return objectives (2,) float32 of a number in compiled code."""

    def one(x, wanted=True):
        return host_values(oracle, lambda row: int(row[0]), x[None], jnp.bool_(wanted), 2)

    return one


def test_each_object_is_computed_once():
    oracle = Oracle(square, 2, "squares-v0")
    np.testing.assert_array_equal(oracle([3, 1, 3]), [[9, 1.5], [1, 0.5], [9, 1.5]])
    assert oracle.counts == Counts(asked=3, computed=2)
    np.testing.assert_array_equal(oracle([1, 2]), [[1, 0.5], [4, 1]])
    assert oracle.counts == Counts(asked=5, computed=3)
    assert oracle.counts.remembered == 2
    assert oracle([]).shape == (0, 2)
    oracle.forget()
    assert oracle.counts == Counts(0, 0)
    oracle([1])
    assert oracle.counts == Counts(1, 1)


def test_what_was_not_asked_for_longest_is_forgotten():
    oracle = Oracle(square, 2, "squares-v0", capacity=2)
    for x in (1, 2, 1, 3):  # 3 pushes 2 out
        oracle([x])
    computed = oracle.counts.computed
    oracle([1, 3])
    assert oracle.counts.computed == computed
    oracle([2])
    assert oracle.counts.computed == computed + 1
    many = oracle(list(range(10)))  # a batch of more than it remembers
    np.testing.assert_array_equal(many[:, 0], np.arange(10) ** 2)


def test_compiled_code_calls_once_a_batch_and_only_for_what_is_wanted():
    oracle = Oracle(square, 2, "squares-v0")
    batch = jax.jit(jax.vmap(jax.vmap(values_of(oracle))))
    found = batch(jnp.arange(6).reshape(2, 3), jnp.array([[True, False, True], [True, True, False]]))
    np.testing.assert_array_equal(found[..., 0], [[0, 0, 4], [9, 16, 0]])
    assert oracle.counts == Counts(4, 4)


def test_what_a_scan_does_not_read_is_not_computed():
    oracle = Oracle(square, 2, "squares-v0")
    one = values_of(oracle)

    def step(total, x):
        return total + x, one(x)

    jax.block_until_ready(jax.jit(lambda xs: jax.lax.scan(step, 0, xs)[0])(jnp.arange(5)))
    assert oracle.counts.asked == 0
    _, read = jax.jit(lambda xs: jax.lax.scan(step, 0, xs))(jnp.arange(5))
    np.testing.assert_array_equal(read[:, 0], np.arange(5) ** 2)
    assert oracle.counts.asked == 5


def test_two_devices_ask_at_once():
    """Call an oracle within scans on both devices many times, without a deadlock."""
    oracle = Oracle(square, 2, "squares-v0", capacity=10)
    one = values_of(oracle)

    def lanes(xs):
        def step(xs, _):
            return (xs + 1) % 50, jax.vmap(one)(xs)[:, 0]

        return jax.lax.scan(step, xs, None, length=40)[1]

    mesh = Mesh(np.array(jax.devices()[:2]), ("lane",))
    across = PartitionSpec("lane")
    split = jax.jit(
        jax.shard_map(lanes, mesh=mesh, in_specs=across, out_specs=PartitionSpec(None, "lane"), check_vma=False)
    )
    for start in range(5):
        xs = jnp.arange(start, start + 8)
        expected = ((np.arange(40)[:, None] + np.arange(start, start + 8)) % 50) ** 2
        np.testing.assert_array_equal(split(xs), expected)


def test_worker_processes_give_the_same():
    oracle = Oracle(where, 2, "places-v0", processes=2)
    try:
        places = oracle(list(range(40)))
        np.testing.assert_array_equal(places[:, 0], np.arange(40))
        assert os.getpid() not in set(places[:, 1].astype(int))
        assert oracle([50])[0, 1] == os.getpid()  # one is not worth sending
        np.testing.assert_array_equal(oracle(list(range(40))), places)  # remembered
        assert oracle.counts == Counts(81, 41)
        failing = Oracle(ill, 2, "ill-v0", processes=2)
        failing._pool = oracle._pool  # started already
        with pytest.raises(OracleError, match="raised ValueError: three is too many"):
            failing([1, 2, 3])
        failing._pool = None
        assert oracle([60, 61]).shape == (2, 2)
    finally:
        oracle.close()


def test_a_worker_that_ends_is_named_and_nothing_waits_for_it():
    oracle = Oracle(ends_its_process, 2, "mortal-v0", processes=1)
    with pytest.raises(OracleError, match=r"^mortal-v0: a worker process of its oracle ended"):
        oracle([1, 2, 3])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (3, r"ill-v0: its oracle raised ValueError: three is too many \(.*test_oracle.py:\d+\) for 3"),
        (4, r"ill-v0: its oracle gave \(1.0,\) for 4; allowed: 2 finite numbers"),
        (5, r"ill-v0: its oracle gave \(nan, 1.0\) for 5; allowed: 2 finite numbers"),
        (6, "gave None for 6"),
        (7, r"gave \('a', 'b'\) for 7"),
    ],
)
def test_failures_are_named(x, message, caplog):
    oracle = Oracle(ill, 2, "ill-v0")
    with pytest.raises(OracleError, match=f"^{message}" if x < 6 else message):
        oracle([1, x, 2])
    assert oracle.counts == Counts(0, 0)
    with caplog.at_level(logging.ERROR), pytest.raises(OracleError, match=message), oracle_errors():
        jax.block_until_ready(jax.jit(jax.vmap(values_of(oracle)))(jnp.array([1, x, 2])))
    assert not caplog.records  # JAX's own account of it is left out
    np.testing.assert_array_equal(oracle([1]), [[1, 1]])  # and it goes on


def test_other_errors_of_compiled_code_stay_what_they_are():
    def fails(x):
        raise RuntimeError("something else")

    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"), oracle_errors():
        jax.block_until_ready(
            jax.jit(lambda x: jax.pure_callback(fails, jax.ShapeDtypeStruct((), np.float32), x))(jnp.float32(1))
        )
