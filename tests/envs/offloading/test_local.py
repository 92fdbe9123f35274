"""Execution on the device: every step and the battery are those of the plain simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from morl.envs.offloading.local import MecLocal
from morl.errors import UserError
from tests.envs.offloading.episodes import check

ENV = MecLocal(tasks=25, battery=0.05)
DEVICE, GIVE_UP = 5, 6


def battery(state: Any) -> Any:
    return 0.05, 0.05, 0.002


@pytest.mark.parametrize("seed", range(6))
def test_random_actions(seed: int) -> None:
    system = check(ENV, seed, battery=battery)
    assert len(system.system.servers[DEVICE].past) > 0


def test_all_on_the_device_until_the_battery_is_empty() -> None:
    refused = []

    def on_device(t: int, mask: Any, rng: Any) -> int:
        refused.append(not mask[DEVICE])
        return DEVICE if mask[DEVICE] else GIVE_UP

    system = check(ENV, 1, on_device, battery=battery)
    device = system.system.servers[DEVICE]
    assert 3 < len(device.past) < 25
    assert any(refused)
    assert all(task.joins == task.placed for task in device.past)
    assert sum(len(server.past) for server in system.system.servers) == len(device.past)


def test_giving_up_costs_no_energy_and_no_time() -> None:
    system = check(ENV, 2, lambda t, mask, rng: GIVE_UP, battery=battery)
    assert system.charge == 0.05


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"battery": 0.0}, "battery must be greater than 0"),
        ({"harvest": -1.0}, "harvest must be at least 0"),
        ({"device_frequency": (2.0, 1.0)}, "device_frequency must be"),
        ({"device_frequency": np.inf}, "device_frequency must be"),
    ],
)
def test_impossible_settings_are_refused_by_name(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MecLocal(**kwargs)
