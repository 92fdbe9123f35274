"""Heat and cool an office within a comfort band, as cheaply as each of three electricity tariffs allows.

For each tariff C-MORL finds a front of comfort, price of energy and ramping. The front does not know what the landlord
wants; that is said afterwards: of its policies the cheapest that keeps a wanted share of zone-hours within the band.
Beside it stand thermostats, whose power is proportional to the error of each zone::

    python office_tariffs.py            # about three minutes on two cores
    python office_tariffs.py --quick    # a twentieth of the training, to see that it runs
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import morl
from morl.agents.cmorl import CMORLConfig

HOURS = 24
ZONES = 23
KILOWATTS = 8.0  # of a zone's unit at full power
TARGET, BAND = 22.0, 3.0  # °C, and K above or below it that are still comfortable
WANTED = 0.85  # share of zone-hours within the band
GAINS = (0.025, 0.05, 0.075, 0.1, 0.125, 0.15)  # of thermostats, power for each K of error

# Euro a kWh for each hour of the day.
TARIFFS = {
    "flat": (0.30,) * HOURS,
    "night": tuple(0.20 if hour < 6 or hour >= 22 else 0.34 for hour in range(HOURS)),
    "solar": tuple(0.12 if 10 <= hour < 16 else 0.42 if 17 <= hour < 21 else 0.30 for hour in range(HOURS)),
}


def register(tariff: str) -> str:
    """Register the building at a tariff, with steps of an hour and episodes of a day; return its id."""
    spec = morl.EnvSpec(
        id=f"office-{tariff}-v0",
        summary=f"the office at the tariff {tariff!r}",
        objectives=("comfort", "energy_price", "ramping"),
        reference_point=(0.0, 0.0, 0.0),
        gamma=1.0,
        entry_point="morl.envs.building.environment:Building",
        kwargs={"prices": TARIFFS[tariff], "time_resolution": 3600, "episode_steps": HOURS},
        max_episode_steps=HOURS,
    )
    return morl.register_env(spec).id


@dataclass(frozen=True)
class Day:
    """Averages of a controller over its days.

    Attributes:
        name: controller.
        comfortable: share of zone-hours within the band.
        euros, kilowatt_hours: cost and energy of a day.
    """

    name: str
    comfortable: float
    euros: float
    kilowatt_hours: float


def measure(name: str, observations: Any, actions: Any, tariff: tuple[float, ...]) -> Day:
    """Return averages over days of observations (N, 25, ...) and actions (N, 24, 23).

    The last entry of an observation is the price of the step to take, as a share of the day's highest.
    """
    comfortable = np.abs(observations[:, 1:, :ZONES] - TARGET) <= BAND
    energy = np.abs(np.clip(actions, -1, 1)).sum(axis=2) * KILOWATTS  # kWh of an hour
    prices = observations[:, :-1, -1] * max(tariff)
    return Day(
        name, float(comfortable.mean()), float((energy * prices).sum(1).mean()), float(energy.sum(axis=1).mean())
    )


def watch(run: Path, policy: int, tariff: tuple[float, ...], days: int) -> Day:
    """Return averages of a policy over days drawn from the whole year; the same days for all policies."""
    played = list(morl.play(run, policy=policy).episodes(days))
    observations, actions = (np.stack([getattr(day, name) for day in played]) for name in ("observations", "actions"))
    return measure(f"policy {policy}", observations, actions, tariff)


def thermostat(env: Any, gain: float, tariff: tuple[float, ...], days: int) -> Day:
    """Return averages of power in proportion to the error of each zone, over other days than the policies'."""
    params = env.default_params

    def day(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        def hour(carry: Any, _: None) -> tuple[Any, tuple[jax.Array, jax.Array]]:
            state, obs = carry
            action = jnp.clip(gain * (TARGET - obs[:ZONES]), -1, 1)
            state, obs, *_ = env.step(key, state, action, params)  # nothing in a step is random
            return (state, obs), (obs, action)

        start = env.reset(key, params)
        _, (observations, actions) = jax.lax.scan(hour, start, None, HOURS)
        return jnp.concatenate([start[1][None], observations]), actions

    observations, actions = jax.jit(jax.vmap(day))(jax.random.split(jax.random.key(0), days))
    return measure(f"thermostat, {gain:g} / K", np.asarray(observations), np.asarray(actions), tariff)


def choose(days: list[Day], share: float) -> Day | None:
    """Return the cheapest of those that are comfortable in this share of zone-hours; None if none is."""
    return min((day for day in days if day.comfortable >= share), key=lambda day: day.euros, default=None)


def show(day: Day) -> None:
    """Print a line."""
    print(
        f"  {day.name:<22} {day.comfortable:4.0%} comfortable {day.euros:6.0f} euro {day.kilowatt_hours:6.0f} kWh a day"
    )


def main() -> None:
    """Train, measure and choose, for each tariff."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=800_000)
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--tariffs", nargs="+", choices=TARIFFS, default=list(TARIFFS))
    parser.add_argument("--quick", action="store_true", help="a twentieth of the steps, two days")
    parser.add_argument("--out", type=Path, default=None, help="folder for the runs, by default a temporary one")
    args = parser.parse_args()
    out = args.out or Path(tempfile.mkdtemp(prefix="office-"))
    steps, days = (args.steps // 20, 2) if args.quick else (args.steps, args.days)
    # An hour's power is felt for a few hours only, so that the learner's discount is short-sighted.
    config = CMORLConfig(train_gamma=0.9, num_envs=32, rollout_steps=HOURS, num_policies=10)
    for name in args.tariffs:
        id, tariff = register(name), TARIFFS[name]
        settings = morl.TrainSettings(
            env=id, steps=steps, out=out / name, evaluations=10, eval_episodes=8, final_episodes=32
        )
        run = morl.train("cmorl", settings, config)
        found = [watch(run.path, row, tariff, days) for row in range(len(run.front))]
        print(f"\ntariff {name}, {len(found)} policies:")
        for day in sorted(found, key=lambda day: -day.comfortable):
            show(day)
        for gain in GAINS:
            show(thermostat(morl.make(id), gain, tariff, 200))
        chosen = choose(found, WANTED)
        if chosen is None:
            best = max(found, key=lambda day: day.comfortable)
            print(
                f"no policy is comfortable {WANTED:.0%} of the time; the best, {best.name}, is {best.comfortable:.0%}"
            )
        else:
            print(f"the cheapest that is comfortable {WANTED:.0%} of the time: {chosen.name}, {chosen.euros:.0f} euro")


if __name__ == "__main__":
    main()
