"""Offloading suite in plain Python, simulated from event to event by the definitions, without our code."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

EPSILON = 1e-9  # Mbit, and seconds


@dataclass(eq=False)
class Task:
    size: float  # Mbit
    placed: float  # s
    joins: float  # s, end of the upload
    due: float = math.inf  # s
    left: float = 0.0  # Mbit
    ended: float = math.nan  # s
    lost: bool = False


@dataclass
class Server:
    speed: float  # Mbit/s
    joules: float  # per Mbit
    changes: list[float] = field(default_factory=list)  # s: fails, is repaired, fails, ...
    now: float = 0.0
    up: bool = True
    uploads: list[Task] = field(default_factory=list)
    running: list[Task] = field(default_factory=list)
    past: list[Task] = field(default_factory=list)
    task_seconds: float = 0.0
    upload_seconds: float = 0.0
    executed: float = 0.0  # Mbit
    lost: int = 0

    def place(self, size: float, upload: float, patience: float = math.inf) -> None:
        task = Task(size, self.now, self.now + upload, self.now + patience, size)
        if upload > 0:
            self.uploads.append(task)
        else:
            self.running.append(task)

    def advance(self, until: float) -> None:
        while self.uploads or self.running or (self.changes and math.isfinite(until)):
            event = self._next()
            if event > until:
                break
            self._run(event)
            self._happen()
        if math.isfinite(until):
            self._run(until)

    def _next(self) -> float:
        times = [task.joins for task in self.uploads]
        times += [task.due for task in self.uploads + self.running]
        if self.running:
            shortest = min(task.left for task in self.running)
            times.append(self.now + shortest * len(self.running) / self.speed)
        if self.changes:
            times.append(self.changes[0])
        return min(times)

    def _run(self, until: float) -> None:
        seconds = until - self.now
        self.task_seconds += seconds * (len(self.uploads) + len(self.running))
        self.upload_seconds += seconds * len(self.uploads)
        for task in self.running:
            got = seconds * self.speed / len(self.running)
            self.executed += got
            task.left -= got
        self.now = until

    def _happen(self) -> None:
        for task in list(self.running):
            if task.left <= EPSILON:
                self._end(self.running, task, lost=False)
        for task in list(self.running):
            if task.due <= self.now + EPSILON:
                self._end(self.running, task, lost=True)
        for task in list(self.uploads):
            if task.due <= self.now + EPSILON:
                self._end(self.uploads, task, lost=True)
            elif task.joins <= self.now + EPSILON:
                self.uploads.remove(task)
                self.running.append(task)
        while self.changes and self.changes[0] <= self.now + EPSILON:
            self.changes.pop(0)
            self.up = not self.up
        if not self.up:
            for task in list(self.running):
                self._end(self.running, task, lost=True)

    def _end(self, where: list[Task], task: Task, lost: bool) -> None:
        where.remove(task)
        task.ended, task.lost = self.now, lost
        self.lost += lost
        self.past.append(task)


@dataclass
class System:
    """Servers, and the sums of what has happened since the last look."""

    servers: list[Server]
    power: float = 0.02

    def advance(self, until: float) -> None:
        for server in self.servers:
            server.advance(until)

    def look(self) -> tuple[float, float, float]:
        """Return task-seconds, J and tasks lost since the last look."""
        seconds = sum(server.task_seconds for server in self.servers)
        uploads = sum(server.upload_seconds for server in self.servers)
        joules = sum(server.joules * server.executed for server in self.servers)
        lost = sum(server.lost for server in self.servers)
        for server in self.servers:
            server.task_seconds = server.upload_seconds = server.executed = 0.0
            server.lost = 0
        return seconds, self.power * uploads + joules, lost


def servers_of(frequencies: Any, changes: Any = None, capacitance: float = 5e-31, cycles: float = 1e3) -> list[Server]:
    """Return servers of these GHz; 0 for one that does not exist."""
    return [
        Server(
            f * 1e9 / cycles / 1e6,
            capacitance * (f * 1e9) ** 2 * cycles * 1e6,
            [] if changes is None else [float(x) for x in changes[i]],
        )
        for i, f in enumerate(frequencies)
    ]


@dataclass
class Devices:
    """Devices that decide at once.

    Attributes:
        frequencies: GHz of S servers.
        rates: (U, S) Mbit/s.
        sizes: (T, U) Mbit, 0 for none.
    """

    frequencies: list[float]
    rates: list[list[float]]
    sizes: list[list[float]]
    slot_seconds: float = 1.0

    def __post_init__(self) -> None:
        self.system = System(servers_of(self.frequencies))
        self.slot = 0

    def step(self, action: Any) -> tuple[Any, tuple[float, float]]:
        for device, server in enumerate(action):
            size = self.sizes[self.slot][device]
            if size > 0:
                self.system.servers[server].place(size, size / self.rates[device][server])
        self.slot += 1
        last = self.slot == len(self.sizes)
        self.system.advance(math.inf if last else self.slot * self.slot_seconds)
        return self.observe(), tuple(-x for x in self.system.look()[:2])  # type: ignore[return-value]

    def observe(self) -> Any:
        number, count = len(self.frequencies), len(self.rates)
        sizes = self.sizes[self.slot] if self.slot < len(self.sizes) else [0.0] * count
        obs = np.zeros(count * (1 + number) + 4 * number + 1, np.float32)
        obs[:count] = sizes
        for device, size in enumerate(sizes):
            for server in range(number):
                obs[count + device * number + server] = size / self.rates[device][server]
        for i, server in enumerate(self.system.servers):
            left = sum(task.left for task in server.running + server.uploads)
            start = count * (1 + number) + 4 * i
            obs[start : start + 4] = server.speed, len(server.running), len(server.uploads), left
        obs[-1] = 1 - self.slot / len(self.sizes)
        return obs


@dataclass
class Single:
    """One task a step, on servers that may fail, with deadlines or on the device, as is given.

    Attributes:
        frequencies: GHz of S rows, 0 for none.
        gaps: (T,) seconds to the next task.
        sizes: (T,) Mbit.
        rates: (T, S) Mbit/s, 0 for no upload.
        patience: (T,) seconds to the deadlines.
        changes: (S, F) seconds at which servers fail and are repaired.
        battery: J in the device's battery at the start, its most, and W of its charging.
    """

    frequencies: list[float]
    gaps: list[float]
    sizes: list[float]
    rates: list[list[float]]
    patience: list[float] | None = None
    changes: list[list[float]] | None = None
    battery: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        self.system = System(servers_of(self.frequencies, self.changes))
        self.task, self.now = 0, 0.0
        self.charge = self.battery[0] if self.battery else 0.0

    def uploads(self) -> list[float]:
        size, rates = self.sizes[self.task], self.rates[self.task]
        return [size / rate if rate > 0 else 0.0 for rate in rates]

    def allowed(self) -> list[bool]:
        """Return whether each server, the device's own processor and giving the task up are allowed."""
        servers = self.system.servers
        allowed = [f > 0 and server.up for f, server in zip(self.frequencies, servers, strict=True)]
        if self.battery:
            if self.task < len(self.sizes):
                costs = self.costs()
                allowed = [yes and cost <= self.charge for yes, cost in zip(allowed, costs, strict=True)]
            allowed.append(True)
        return allowed

    def costs(self) -> list[float]:
        """Return what each row takes from the battery: the upload, or the execution on the device."""
        rows = zip(self.uploads(), self.rates[self.task], self.system.servers, strict=True)
        size, power = self.sizes[self.task], self.system.power
        return [power * upload if rate > 0 else server.joules * size for upload, rate, server in rows]

    def step(self, action: int) -> tuple[Any, tuple[float, float, float]]:
        dropped = action == len(self.frequencies)
        cost = 0.0
        if not dropped:
            patience = self.patience[self.task] if self.patience else math.inf
            self.system.servers[action].place(self.sizes[self.task], self.uploads()[action], patience)
            cost = self.costs()[action] if self.battery else 0.0
        last = self.task == len(self.sizes) - 1
        if self.battery:
            _, most, harvest = self.battery
            self.charge = min(self.charge - cost + (0.0 if last else harvest * self.gaps[self.task]), most)
        self.now = math.inf if last else self.now + self.gaps[self.task]
        self.system.advance(self.now)
        self.task += 1
        seconds, joules, lost = self.system.look()
        return self.observe(), (-seconds, -joules, -lost - float(dropped))

    def observe(self) -> Any:
        """Return the observation, (A, 10) and the columns of the scenario."""
        own = 1 if self.patience or self.battery else 0
        over = self.task == len(self.sizes)
        size = 0.0 if over else self.sizes[self.task]
        uploads = [0.0] * len(self.frequencies) if over else self.uploads()
        allowed = self.allowed()
        obs = np.zeros((len(allowed), 10 + own), np.float32)
        for i, yes in enumerate(allowed):
            if yes and i == len(self.frequencies):
                obs[i, 0] = 1
            elif yes:
                server = self.system.servers[i]
                left = [task.left for task in server.running + server.uploads]
                held = sum(min(x, size) for x in left)
                joules = server.joules * size + self.system.power * uploads[i]
                counts = len(server.running), len(server.uploads), sum(left), held
                obs[i, :10] = 1, size, uploads[i], server.speed, *counts, joules, 1 - self.task / len(self.sizes)
                if self.patience:
                    obs[i, 10] = 0.0 if over else self.patience[self.task]
                if self.battery:
                    obs[i, 10] = self.charge
        return obs


@dataclass
class Dag:
    """Application of dependent tasks that are placed one by one, in the order in which they are given.

    Attributes:
        frequencies: GHz of S servers, 0 for none.
        rates: (S,) Mbit/s from the device.
        backhaul: Mbit/s between servers.
        sizes: (V,) Mbit.
        needs: for each task, the Mbit of the result of each predecessor.
    """

    frequencies: list[float]
    rates: list[float]
    backhaul: float
    sizes: list[float]
    needs: list[dict[int, float]]
    power: float = 0.02

    def __post_init__(self) -> None:
        self.servers = servers_of(self.frequencies)
        self.where: list[int] = []
        self.finish: list[float] = []

    def step(self, server: int) -> tuple[Any, tuple[float, float]]:
        task = len(self.where)
        before = max(self.finish, default=0.0)
        joules = self.joules(task, server)
        self.where.append(server)
        self.finish = self.schedule()
        return self.observe(), (before - max(self.finish), -joules)

    def joules(self, task: int, server: int) -> float:
        upload = 0.0 if self.needs[task] else self.sizes[task] / self.rates[server]
        return self.power * upload + self.servers[server].joules * self.sizes[task]

    def arrival(self, task: int, server: int, finish: Any) -> float:
        """Return when the inputs of a task are on a server, given when its predecessors end, infinity for not yet."""
        if not self.needs[task]:
            return self.sizes[task] / self.rates[server]
        times = []
        for other, mbit in self.needs[task].items():
            transfer = 0.0 if self.where[other] == server else mbit / self.backhaul
            times.append(finish[other] + transfer)
        return max(times)

    def schedule(self) -> list[float]:
        """Return when each placed task ends."""
        number, now = len(self.where), 0.0
        finish = [math.inf] * number
        left = list(self.sizes[:number])
        running: list[int] = []
        begun: set[int] = set()
        while not all(map(math.isfinite, finish)):
            shares = {task: self.servers[self.where[task]].speed for task in running}
            for task in running:
                shares[task] /= sum(self.where[other] == self.where[task] for other in running)
            begins = {i: self.arrival(i, self.where[i], finish) for i in range(number) if i not in begun}
            event = min([now + left[task] / shares[task] for task in running] + list(begins.values()))
            for task in running:
                left[task] -= (event - now) * shares[task]
            now = event
            for task in list(running):
                if left[task] <= EPSILON:
                    running.remove(task)
                    finish[task] = now
            for task, begin in begins.items():
                if begin <= now + EPSILON:
                    begun.add(task)
                    running.append(task)
        return finish

    def observe(self) -> Any:
        obs = np.zeros((len(self.frequencies), 10), np.float32)
        task, number = len(self.where), len(self.sizes)
        for i, frequency in enumerate(self.frequencies):
            if frequency > 0:
                placed = [self.sizes[k] for k, server in enumerate(self.where) if server == i]
                obs[i, [0, 3, 4, 5]] = 1, self.servers[i].speed, len(placed), sum(placed)
                obs[i, 8:] = max(self.finish, default=0.0), 1 - task / number
                if task < number:
                    obs[i, [1, 2, 6]] = self.sizes[task], self.arrival(task, i, self.finish), self.joules(task, i)
        return obs
