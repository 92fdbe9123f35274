"""Registrations of the offloading suite, as plain data: versioned scenarios of mobile edge computing."""

from __future__ import annotations

from morl.registry import EnvSpec, Objective, register_env

DELAY, ENERGY, LOST = Objective("delay", "s"), Objective("energy", "J"), Objective("lost", "tasks")


def _scenario(id: str, summary: str, entry_point: str, reference_point: tuple[float, ...]) -> EnvSpec:
    """Register a scenario, with lost tasks as an objective where the reference point has three numbers."""
    return register_env(
        EnvSpec(
            id=id,
            summary=summary,
            objectives=(DELAY, ENERGY, LOST)[: len(reference_point)],
            reference_point=reference_point,
            gamma=1.0,
            entry_point=f"morl.envs.offloading.{entry_point}",
        )
    )


MEC_DEVICES = _scenario(
    "mec-devices-v0",
    "devices that decide at once where their tasks go: delay against energy",
    *("devices:MecDevices", (-800.0, -2.0)),
)
MEC_DEADLINES = _scenario(
    "mec-deadlines-v0",
    "place tasks that are given up at their deadlines: delay, energy, tasks lost",
    *("deadlines:MecDeadlines", (-250.0, -2.5, -50.0)),
)
MEC_LOCAL = _scenario(
    "mec-local-v0",
    "execute tasks on a device with a battery, upload them or give up: delay, energy, tasks lost",
    *("local:MecLocal", (-1000.0, -2.5, -50.0)),
)
MEC_BURSTY = _scenario(
    "mec-bursty-v0",
    "place tasks that arrive in bursts: delay against energy",
    *("bursty:MecBursty", (-2000.0, -3.0)),
)
MEC_TRACE = _scenario(
    "mec-trace-v0",
    "place tasks that arrive as in a trace, a CSV file of times and sizes: delay against energy",
    *("trace:MecTrace", (-2000.0, -2.5)),
)
MEC_FAILURES = _scenario(
    "mec-failures-v0",
    "place tasks on servers that fail and are repaired: delay, energy, tasks lost",
    *("failures:MecFailures", (-1000.0, -3.0, -50.0)),
)
MEC_DAG = _scenario(
    "mec-dag-v0",
    "place the dependent tasks of an application in topological order: its time against energy",
    *("dag:MecDag", (-60.0, -0.6)),
)
