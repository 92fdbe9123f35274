"""Network inputs for each server, computed from an observation."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from morl.ops.batching import with_leading_axes

NUM_OWN = 5  # columns of a row before its histogram
NUM_DERIVED = 12
NUM_MARGINALS = 6  # columns behind the histogram, where they are observed


def per_server(obs: jax.Array, cycles_per_bit: float, capacitance: float, num_marginals: int = 0) -> jax.Array:
    """Return features (..., S, 12 + bins) of observations (..., S, 5 + bins), all of the order of 1.

    The columns are a 1; the row itself, scaled; the seconds of the upload and of the task; the seconds that it adds to
    the delays on the server (Yang et al., 2025, eq. 24-29, from the centres of the histogram's bins, so accurate to
    about half a Mbit for each task) and their logarithm; the work on the server; the energy of the execution; and the
    histogram. All are 0 for servers that do not exist.

    Observations with marginals, (..., S, 5 + bins + 6), tell these exactly, and have two more features: the tasks that
    wait and the steps to come.
    """
    end = obs.shape[-1] - num_marginals
    size, rate, frequency, running, num_edges = (obs[..., i] for i in range(NUM_OWN))
    histogram = obs[..., NUM_OWN:end]
    exists = frequency > 0
    speed = jnp.where(exists, frequency, 1.0) * 1e3 / cycles_per_bit
    upload = jnp.where(rate > 0, size / jnp.where(rate > 0, rate, 1.0), 0.0)
    shared = []
    if num_marginals:
        added, energy, own, work, waiting, to_come = (obs[..., end + i] for i in range(NUM_MARGINALS))
        shared = [waiting / 8.0, to_come / 50.0]
    else:
        left = with_leading_axes(jnp.arange(histogram.shape[-1], dtype=jnp.float32) + 0.5, histogram.ndim)
        held_up = jnp.sum(histogram * jnp.minimum(left, size[..., None]), axis=-1)
        own = upload + (size + held_up) / speed
        added = upload + (size + 2.0 * held_up) / speed
        energy = capacitance * 1e24 * cycles_per_bit * frequency**2 * size
        work = jnp.sum(histogram * left, axis=-1)
    columns = [
        jnp.ones_like(size),
        size / 16.0,
        rate / 300.0,
        frequency / 2.0,
        running / 8.0,
        num_edges / 8.0,
        upload,
        own / 16.0,
        added / 32.0,
        jnp.log1p(jnp.maximum(added, 0.0)),
        work / (32.0 * speed),
        energy / 0.05,
        *shared,
    ]
    features = jnp.concatenate([jnp.stack(columns, axis=-1), histogram], axis=-1)
    return jnp.where(exists[..., None], features, 0.0)


def rewards_of(obs: jax.Array) -> jax.Array:
    """Return the rewards (..., S, 2) of the task on each server, of observations (..., S, 5 + bins + 6); 0 for none."""
    there = obs[..., 2:3] > 0
    return jnp.where(there, -obs[..., -NUM_MARGINALS : 2 - NUM_MARGINALS], 0.0)
