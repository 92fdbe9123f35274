"""From a name to an environment."""

import gymnasium
import pytest

import morl
from morl.envs.deep_sea_treasure import DeepSeaTreasure
from morl.envs.from_gymnasium import HostEnvironment
from morl.envs.minecart import Minecart
from morl.errors import UserError


def test_names_give_the_jax_native_one_first():
    assert morl.make("minecart-v0") == Minecart()
    assert morl.make("minecart-deterministic-v0") == Minecart(deterministic=True)
    assert morl.make("deep-sea-treasure-concave-v0") == DeepSeaTreasure("concave")
    assert morl.make("minecart-v0", frame_skip=2) == Minecart(frame_skip=2)
    assert morl.make("morl/minecart-v0") == Minecart()
    assert isinstance(morl.make("minecart-v0", backend="host"), HostEnvironment)
    assert isinstance(morl.make("minecart-rgb-v0"), HostEnvironment)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (("minecart-v9",), "unknown environment 'minecart-v9'; did you mean .*minecart-v0"),
        (("four-rooms-v0",), "did you mean four-room-v0"),
        (("nowhere:thing-v0",), "cannot import module 'nowhere' of environment 'nowhere:thing-v0'"),
        (("minecart-v0", "tpu"), "unknown backend 'tpu'; allowed: jax, host"),
        (("minecart-rgb-v0", "jax"), "'minecart-rgb-v0' has no JAX-native environment; allowed backend: host"),
        (("CartPole-v1",), "CartPole-v1 has a scalar reward"),
    ],
)
def test_names_that_cannot_be_made(call, message):
    with pytest.raises(UserError, match=message):
        morl.make(*call)


@pytest.mark.parametrize("id", ["minecart-v0", "fruit-tree-v0", "resource-gathering-v0"])
def test_unknown_keywords_are_named_with_the_known_ones(id):
    with pytest.raises(UserError, match="has no keyword 'colour'; allowed: "):
        morl.make(id, colour="red")


def test_ours_are_in_gymnasiums_registry_once():
    ours = [id for id in gymnasium.registry if id.startswith("morl/")]
    assert len(ours) == len([spec for spec in morl.registry.env_specs().values() if spec.entry_point])
    from morl.environments import register_all

    register_all()
    assert ours == [id for id in gymnasium.registry if id.startswith("morl/")]
    assert gymnasium.spec("morl/minecart-v0").max_episode_steps == 1000
