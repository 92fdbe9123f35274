"""Network inputs for each server, computed from an observation."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from morl.ops.batching import with_leading_axes

NUM_OWN = 5  # columns of a row before its histogram
NUM_DERIVED = 12


def per_server(obs: jax.Array, cycles_per_bit: float, capacitance: float) -> jax.Array:
    """Return features (..., S, 12 + bins) of observations (..., S, 5 + bins), all of the order of 1.

    The columns are a 1; the row itself, scaled; the seconds of the upload and of the task; the seconds that it adds to
    the delays on the server (Yang et al., 2025, eq. 24-29, from the centres of the histogram's bins, so accurate to
    about half a Mbit for each task) and their logarithm; the work on the server; the energy of the execution; and the
    histogram. All are 0 for servers that do not exist.
    """
    size, rate, frequency, running, num_edges = (obs[..., i] for i in range(NUM_OWN))
    histogram = obs[..., NUM_OWN:]
    exists = frequency > 0
    speed = jnp.where(exists, frequency, 1.0) * 1e3 / cycles_per_bit
    left = with_leading_axes(jnp.arange(histogram.shape[-1], dtype=jnp.float32) + 0.5, histogram.ndim)
    held_up = jnp.sum(histogram * jnp.minimum(left, size[..., None]), axis=-1)
    upload = jnp.where(rate > 0, size / jnp.where(rate > 0, rate, 1.0), 0.0)
    own = upload + (size + held_up) / speed
    added = upload + (size + 2.0 * held_up) / speed
    energy = capacitance * 1e24 * cycles_per_bit * frequency**2 * size
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
        jnp.sum(histogram * left, axis=-1) / (32.0 * speed),
        energy / 0.05,
    ]
    features = jnp.concatenate([jnp.stack(columns, axis=-1), histogram], axis=-1)
    return jnp.where(exists[..., None], features, 0.0)
