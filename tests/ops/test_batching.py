"""Functions of a batch under vmap, jit and scan."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.ops.batching import batched, batched_with, where_wanted


def test_vmaps_are_folded_into_one_batch() -> None:
    seen = []

    def function(x: jax.Array, y: dict[str, jax.Array]) -> dict[str, jax.Array]:
        seen.append(x.shape)
        return {"sum": x.sum(axis=1) + y["a"], "most": jnp.broadcast_to(y["a"].max(), y["a"].shape)}

    call = batched(function)
    x, a = jnp.arange(24.0).reshape(2, 3, 4), jnp.arange(6.0).reshape(2, 3)
    out = jax.jit(jax.vmap(jax.vmap(lambda x, a: call(x, {"a": a}))))(x, a)
    assert seen[-1] == (6, 4)
    np.testing.assert_array_equal(out["sum"], x.sum(axis=2) + a)
    np.testing.assert_array_equal(out["most"], np.full((2, 3), 5.0))  # of the whole batch
    np.testing.assert_array_equal(call(x[0, 0], {"a": a[1, 2]})["sum"], 6.0 + 5.0)
    # an argument that vmap does not go over
    half = jax.vmap(jax.vmap(lambda a: call(x[0, 0], {"a": a})))(a)
    np.testing.assert_array_equal(half["sum"], 6.0 + a)


@pytest.mark.parametrize("axes", [(None, None), (None, 0), (0, None), (0, 0)])
def test_a_shared_argument_stays_shared_unless_mapped(axes: Any) -> None:
    seen = []

    def function(shared: jax.Array, axis: int | None, x: jax.Array) -> jax.Array:
        seen.append((axis, shared.shape))
        return jax.vmap(lambda s, x: s[0] * x + s[1], (axis, 0))(shared, x)

    call = batched_with(function)
    outer, inner = axes
    shape = [n for n, axis in ((2, outer), (3, inner)) if axis == 0]
    shared = jnp.asarray(np.random.default_rng(0).normal(size=(*shape, 2)), jnp.float32)
    x = jnp.arange(6.0).reshape(2, 3)
    got = jax.vmap(jax.vmap(call, (inner, 0)), (outer, 0))(shared, x)
    full = np.broadcast_to(
        np.asarray(shared).reshape(*[n if a == 0 else 1 for n, a in ((2, outer), (3, inner))], 2), (2, 3, 2)
    )
    np.testing.assert_allclose(got, full[..., 0] * x + full[..., 1], rtol=1e-6)
    assert seen[-1] == ((None, (2,)) if not shape else (0, (6, 2)))


@pytest.mark.parametrize("number", [0, 1, 3, 20])
def test_only_lanes_that_want_it_are_changed(number: int) -> None:
    def cube(value: jax.Array, x: jax.Array) -> jax.Array:
        return value + x**3

    wanted = np.random.default_rng(number).permutation(20) < number
    x = jnp.arange(20.0)
    call = jax.jit(jax.vmap(where_wanted(cube, width=4)))
    np.testing.assert_array_equal(call(wanted, jnp.ones(20), x), np.where(wanted, 1 + x**3, 1.0))


def test_in_a_scan_and_without_vmap() -> None:
    call = where_wanted(lambda value: value * 2)
    out, _ = jax.lax.scan(lambda v, go: (call(go, v), None), jnp.float32(1.0), jnp.array([True, False, True]))
    assert float(out) == 4.0
