"""Radio links from users to servers: path loss, shadowing, Rayleigh fading and Shannon's rate."""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

Channel = Literal["high_rate", "physical"]


class LinkParams(NamedTuple):
    """Constants of the links, () float32 each unless said otherwise.

    Attributes:
        distance: (S, 2) metres from a user to a server, bounds of the uniform distribution.
        path_loss: (2,) dB at 1 km, and dB for each decade of distance.
        shadowing: dB lost to obstacles on every link.
        antenna_gain: dB.
        noise: dBm/Hz.
        bandwidth: MHz of each link.
        power: W of an upload.
    """

    distance: jax.Array
    path_loss: jax.Array
    shadowing: jax.Array
    antenna_gain: jax.Array
    noise: jax.Array
    bandwidth: jax.Array
    power: jax.Array


def draw_gains(key: jax.Array, num_users: int, spread: float, fades: bool, params: LinkParams) -> jax.Array:
    """Draw the share (U, S) of the power that arrives.

    Args:
        key: random key.
        num_users: U.
        spread: standard deviation of the shadowing between links, in dB.
        fades: multiply by Rayleigh fading.
        params: constants of the links.
    """
    key_uniform, key_shadow = jax.random.split(key)
    place, fading = jax.random.uniform(key_uniform, (2, num_users, len(params.distance)), dtype=jnp.float32)
    low, high = params.distance.T[:, None]
    loss = params.path_loss[0] + params.path_loss[1] * jnp.log10((low + (high - low) * place) / 1000.0)
    shadowing = params.shadowing
    if spread > 0:
        shadowing = shadowing + spread * jax.random.normal(key_shadow, place.shape, dtype=jnp.float32)
    gain = 10.0 ** ((params.antenna_gain - loss - shadowing) / 10.0)
    return gain * -jnp.log1p(-fading) if fades else gain


def draw_fading(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Draw Rayleigh fading as a factor of the power, which is exponential with mean 1."""
    return jax.random.exponential(key, shape, dtype=jnp.float32)


def noise_power(params: LinkParams) -> jax.Array:
    """Return the noise power () in W over the band of one link."""
    return 10.0 ** (params.noise / 10.0 - 3.0) * params.bandwidth * 1e6


def signal(gain: jax.Array, channel: Channel, params: LinkParams) -> jax.Array:
    """Return the received power in W for links of this gain (fading included).

    ``high_rate`` is the channel of the published results, in which the ratio of gain to noise enters squared.
    """
    if channel == "high_rate":
        return params.power * (gain / noise_power(params)) ** 2
    return params.power * gain


def rate(signal: jax.Array, interference: jax.Array | float, params: LinkParams) -> jax.Array:
    """Return the rate in Mbit/s, C = W log2(1 + signal / (noise + interference)) (Yang et al., 2025, eq. 3 and 4)."""
    ratio = signal / (noise_power(params) + interference)
    return params.bandwidth * jnp.log1p(ratio) / jnp.log(jnp.float32(2.0))
