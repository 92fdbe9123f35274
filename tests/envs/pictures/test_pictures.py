"""Pictures: of the right shape, the same for the same state, and showing what the state says."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import ImageColor

import morl
from morl.envs.gymnasium.to_gymnasium import GymnasiumEnv
from morl.envs.pictures import canvas
from morl.errors import UserError
from tests.envs.extras import native_cases

DRAWN = native_cases()


def centre(picture, colour):
    """(x, y) of the middle of the pixels of a colour, as a share of the picture; and how many there are."""
    y, x = np.nonzero((picture == ImageColor.getrgb(colour)).all(axis=2))
    assert len(x), f"nothing is {colour}"
    return x.mean() / picture.shape[1], y.mean() / picture.shape[0], len(x)


@pytest.mark.parametrize("spec", DRAWN)
def test_states_look_different(spec):
    env = gymnasium.make(f"morl/{spec.id}", render_mode="rgb_array")
    env.action_space.seed(0)
    _, info = env.reset(seed=0)
    first = env.render()
    assert (first.ndim, first.shape[2], first.dtype) == (3, 3, np.uint8)
    assert 100 <= min(first.shape[:2]) <= max(first.shape[:2]) <= 700
    np.testing.assert_array_equal(first, env.render())
    first[:] = 0  # a picture is the caller's own
    assert env.render().any()
    seen = {env.render().tobytes()}
    for _ in range(30):
        action = env.action_space.sample(info["action_mask"]) if "action_mask" in info else env.action_space.sample()
        *_, terminated, truncated, info = env.step(action if np.isfinite(action).all() else np.full(1, 50, np.float32))
        seen.add(env.render().tobytes())
        if terminated or truncated:
            break
    assert len(seen) >= 2
    assert env.metadata["render_fps"] > 0
    env.close()


@pytest.mark.parametrize(
    ("id", "change", "colour", "place"),
    [
        ("deep-sea-treasure-v0", {"position": [0, 0]}, canvas.RED, (0.5 / 11, 0.4 / 11)),
        ("deep-sea-treasure-v0", {"position": [3, 7]}, canvas.RED, (7.5 / 11, 3.4 / 11)),
        ("deep-sea-treasure-v0", {"position": [10, 9]}, canvas.RED, (9.5 / 11, 10.4 / 11)),
        ("minecart-v0", {"position": [0.2, 0.6]}, canvas.RED, (0.26 / 1.12, 0.46 / 1.25)),
        ("minecart-v0", {"position": [0.9, 0.3]}, canvas.RED, (0.96 / 1.12, 0.76 / 1.25)),
        ("four-room-v0", {"position": [3, 8]}, canvas.PURPLE, (8.5 / 13, 3.6 / 13)),
        ("resource-gathering-v0", {"position": [2, 1]}, canvas.BLUE, (1.5 / 5, 2.6 / 5)),
        ("breakable-bottles-v0", {"location": 2}, canvas.BLUE, (2.5 / 5, 0.7 / 1.3)),
        ("mo-mountaincar-v0", {"position": -0.5}, canvas.BLUE, (0.8 / 2.0, 1.1 / 1.25)),
        ("mo-mountaincarcontinuous-v0", {"position": 0.3}, canvas.BLUE, (1.6 / 2.0, 0.3 / 1.25)),
        ("water-reservoir-v0", {"level": [100.0]}, canvas.DEEP, (150 / 400, 185 / 260)),
    ],
)
def test_what_moves_is_where_the_state_says(id, change, colour, place):
    env = morl.make(id)
    state, _ = env.reset(jax.random.key(0), env.default_params)
    state = state._replace(**{name: jnp.array(value) for name, value in change.items()})
    x, y, _ = centre(env.render(state, env.default_params), colour)
    np.testing.assert_allclose((x, y), place, atol=0.03)


def test_the_cart_faces_its_heading_and_shows_its_load():
    env = morl.make("minecart-v0")
    state, _ = env.reset(jax.random.key(0), env.default_params)
    middle = state._replace(position=jnp.array([0.4, 0.5]))

    def picture(**change):
        return env.render(middle._replace(**change), env.default_params)

    nose = [centre(picture(heading=jnp.int32(heading)), canvas.RED)[0] for heading in (0, 18)]
    assert nose[0] > 0.46 / 1.12 > nose[1]
    full = picture(content=jnp.array([0.5, 1.0]))
    for colour in (canvas.ORANGE, canvas.BLUE):
        assert centre(full, colour)[2] > centre(picture(), colour)[2]


def test_what_was_gathered_is_gone_from_its_place():
    env = morl.make("resource-gathering-v0")
    state, _ = env.reset(jax.random.key(0), env.default_params)
    before = env.render(state, env.default_params)
    after = env.render(state._replace(has=jnp.array([1, 0])), env.default_params)
    assert centre(before, canvas.GOLD)[1] < 0.3  # at the top
    assert not np.array_equal(before[:72, 144:216], after[:72, 144:216])
    np.testing.assert_array_equal(before[72:144, 288:360], after[72:144, 288:360])  # the gem stays


def test_the_final_state_is_drawn_and_not_the_next_start():
    env = GymnasiumEnv("deep-sea-treasure-v0", render_mode="rgb_array")
    env.reset(seed=0)
    start = env.render()
    *_, terminated, _, _ = env.step(1)
    assert terminated
    assert not np.array_equal(env.render(), start)
    env.reset()
    np.testing.assert_array_equal(env.render(), start)


def test_a_render_mode_there_is_not():
    with pytest.raises(UserError, match=r"minecart-v0 has no render mode 'human'; allowed: \['rgb_array'\]"):
        GymnasiumEnv("minecart-v0", render_mode="human")


def test_host_environments_draw_themselves():
    env = morl.make("deep-sea-treasure-v0", "host")
    assert "rgb_array" in env.metadata["render_modes"]
    single = env.make_single("rgb_array")
    single.reset(seed=0)
    first = single.render()
    single.step(3)
    assert first.shape[2] == 3
    assert not np.array_equal(first, single.render())
    single.close()
