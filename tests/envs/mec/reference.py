"""Offloading system in plain Python, simulated from event to event by the definitions, without our code.

Each server keeps a list of uploads and one of running tasks; the next event is an upload or a task that ends. Predicted
completion times come from letting a copy run dry.
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass, field


@dataclass
class Task:
    number: int
    size: float  # Mbit
    placed: float  # s
    joins: float  # s
    left: float  # Mbit
    energy: float  # J
    finished: float = math.nan  # s


@dataclass
class Server:
    frequency: float  # GHz
    cycles_per_bit: float = 1e3
    now: float = 0.0
    uploads: list[Task] = field(default_factory=list)
    running: list[Task] = field(default_factory=list)
    finished: list[Task] = field(default_factory=list)

    @property
    def speed(self) -> float:
        return self.frequency * 1e9 / self.cycles_per_bit / 1e6  # Mbit/s

    def advance(self, until: float) -> None:
        while True:
            join = min((task.joins for task in self.uploads), default=math.inf)
            pace = self.speed / len(self.running) if self.running else 0.0
            end = self.now + min(task.left for task in self.running) / pace if self.running else math.inf
            event = min(join, end)
            if event > until or math.isinf(event):
                break
            self._run(event)
            for task in [task for task in self.running if task.left <= 1e-12]:
                task.finished = event
                self.running.remove(task)
                self.finished.append(task)
            for task in [task for task in self.uploads if task.joins <= event]:
                self.uploads.remove(task)
                self.running.append(task)
        if math.isfinite(until):
            self._run(until)

    def _run(self, until: float) -> None:
        if self.running:
            got = (until - self.now) * self.speed / len(self.running)
            shortest = min(self.running, key=lambda task: task.left)
            for task in self.running:
                # the task of the event ends exactly
                task.left = 0.0 if task is shortest and task.left - got < 1e-9 else max(task.left - got, 0.0)
        self.now = until

    def predicted(self) -> float:
        """Return the sum of the times of all tasks here from now on, if no other came."""
        copy = deepcopy(self)
        copy.finished.clear()
        copy.advance(math.inf)
        return sum(task.finished - self.now for task in copy.finished)


@dataclass
class System:
    frequencies: list[float]  # GHz, the cloud first
    power: float = 0.01
    capacitance: float = 5e-31
    cycles_per_bit: float = 1e3

    def __post_init__(self) -> None:
        self.servers = [Server(f, self.cycles_per_bit) for f in self.frequencies]
        self.placed: list[Task] = []

    def place(self, server: int, size: float, rate: float) -> tuple[float, float]:
        """Place a task (Mbit, at Mbit/s) on a server now; return the two rewards, in s and J."""
        there = self.servers[server]
        upload = size / rate
        cycles = size * 1e6 * self.cycles_per_bit
        energy = self.power * upload + self.capacitance * (there.frequency * 1e9) ** 2 * cycles
        before = there.predicted()
        task = Task(len(self.placed), size, there.now, there.now + upload, size, energy)
        there.uploads.append(task)
        self.placed.append(task)
        return before - there.predicted(), -energy

    def advance(self, until: float) -> None:
        for server in self.servers:
            server.advance(until)

    def delays(self) -> list[float]:
        """Return the delay of every task after all are done."""
        self.advance(math.inf)
        return [task.finished - task.placed for task in self.placed]
