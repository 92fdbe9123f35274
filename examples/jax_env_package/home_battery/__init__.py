"""An environment in JAX in a package of its own: a battery at home that trades money for its own life.

The environment is in ``home_battery/environment.py``; this file says what there is and loads nothing heavy, since
``morl envs`` imports it. ``pyproject.toml`` names ``SPEC`` in the entry-point group ``morl.environments``, so after
``pip install`` it is an environment like morl's own::

    pip install examples/jax_env_package
    morl envs
    morl check-env home-battery-v0
    morl train cmorl --env home-battery-v0 --steps 2000000

Not installed, it works as ``home_battery:home-battery-v0`` in this folder: importing the module registers it.
"""

import morl

SPEC = morl.register_env(
    morl.EnvSpec(
        id="home-battery-v0",
        summary="buy power cheap and sell it dear without wearing out the battery",
        objectives=("money", "wear"),
        reference_point=(-20.0, -200.0),
        gamma=1.0,
        entry_point="home_battery.environment:HomeBattery",
        max_episode_steps=96,
    )
)
