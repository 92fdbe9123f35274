"""A suite of environments for tests, which other packages than this library are not needed for."""

from typing import Any

import jax
import jax.numpy as jnp
from gymnasium import spaces

from morl.envs.suites.adapter import ScalarStep
from morl.envs.suites.arrays import observation_space, observed


def names() -> list[str]:
    return ["walk", "sprint"]


def load(name: str, kwargs: dict[str, Any]) -> "Walk":
    return Walk(name, **kwargs)


class Walk:
    """Walk of up to ``far`` steps right, or left; a step changes the dictionary of its state, as Brax's does."""

    default_params = ()
    action_space = spaces.Discrete(2)

    def __init__(self, name: str, far: int = 5, max_episode_steps: int = 20) -> None:
        self.stride, self.far, self.max_episode_steps = 1 + (name == "sprint"), far, max_episode_steps
        self.observation_space = observation_space(jnp.zeros((), jnp.int32))

    def native_action(self, action: jax.Array) -> jax.Array:
        return 2 * action - 1

    def reset(self, key: jax.Array, params: Any) -> tuple[Any, jax.Array]:
        state = {"place": jnp.zeros((), jnp.int32), "contacts": jnp.zeros((0, 3), jnp.float32)}
        return state, observed(state["place"], self.observation_space)

    def step(self, key: jax.Array, state: Any, action: jax.Array, params: Any) -> ScalarStep:
        state.update(place=state["place"] + self.stride * action)
        place = state["place"].astype(jnp.float64)  # a suite's types are its own
        told = {
            "reward": place * jnp.ones((1,))[0],
            "metrics": {"right": action > 0, "effort": -1.0},
            "map": jnp.zeros(3),
            "name": "walk",
        }
        return ScalarStep(
            state, observed(state, self.observation_space), jnp.abs(place) >= self.far, jnp.bool_(False), told
        )


def places(state: Any, action: Any, following: Any, told: dict[str, Any]) -> jax.Array:
    """Return where the step begins and ends, the suite's action and its reward."""
    return jnp.stack([state["place"], following["place"], action, told["reward"]])


def one(state: Any, action: Any, following: Any, told: dict[str, Any]) -> Any:
    return told["reward"]


def matrix(state: Any, action: Any, following: Any, told: dict[str, Any]) -> Any:
    return jnp.zeros((2, 2))


def nested(state: Any, action: Any, following: Any, told: dict[str, Any]) -> Any:
    return [told["reward"], jnp.zeros(3)]


def broken(state: Any, action: Any, following: Any, told: dict[str, Any]) -> Any:
    return told["nothing"]
