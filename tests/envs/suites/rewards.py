"""Vector rewards of environments of suites, for tests."""

import jax.numpy as jnp


def upright_and_central(state, action, following, told):
    """CartPole: 1 a step, and minus the distance from the centre."""
    return jnp.stack([told["reward"], -jnp.abs(following.x)])


def fruit_and_time(state, action, following, told):
    """Snake: fruits, and minus 1 a step."""
    return told["reward"], -1.0


def upright_and_still(state, action, following, told):
    """Brax's pendulum: 1 a step, and minus the squared force."""
    return jnp.stack([told["reward"], -jnp.sum(action**2)])
