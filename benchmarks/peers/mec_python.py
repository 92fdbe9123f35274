"""The offloading system as one would write it in Python, lists of tasks and NumPy for what is seen: for its speed."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

BINS, ROWS = 60, 11


class PythonMec:
    """E edge servers beside a cloud; ``step(action)`` gives the observation and the reward (s, J), both negative."""

    def __init__(
        self, num_edges: int = 6, cloud: float = 4.0, edge: float = 2.0, seed: int = 0, channel: str = "high_rate"
    ) -> None:
        self.channel = channel
        self.random = random.Random(seed)
        self.frequency = [cloud, *[edge] * num_edges]
        self.speed = list(self.frequency)  # Mbit/s at 1000 cycles a bit
        self.joules = [5e-4 * f * f for f in self.frequency]  # a Mbit
        self.mean_size = sum(self.speed)
        self.noise = 10 ** (-174 / 10 - 3) * 16.6e6

    def reset(self) -> Any:
        draw = self.random
        self.running: list[list[float]] = [[] for _ in self.speed]
        self.uploads: list[list[tuple[float, float]]] = [[] for _ in self.speed]  # seconds left, Mbit
        self.queue: list[tuple[float, int]] = []
        self.next_arrival = draw.expovariate(1.0) - 1.0
        self.now = 0.0
        self.rates = [[self._rate(e) for e in range(len(self.speed))] for _ in range(10)]
        self._offer()
        return self._observe()

    def _rate(self, server: int) -> float:
        distance = self.random.uniform(1000, 2000) if server == 0 else self.random.uniform(50, 500)
        loss = 133.6 + 35 * np.log10(distance / 1000) + 8
        gain = 10 ** (-loss / 10) * self.random.expovariate(1.0) / self.noise
        ratio = 0.01 * (gain if self.channel == "physical" else gain * gain / self.noise)
        return float(16.6 * np.log2(1 + ratio))

    def _offer(self) -> None:
        while self.next_arrival <= self.now:
            size = min(max(self.random.expovariate(1.0 / self.mean_size), 0.1), 100.0)
            self.queue.append((size, self.random.randrange(10)))
            self.next_arrival += self.random.expovariate(1.0)
        self.task = self.queue.pop(0) if self.queue else None

    def step(self, action: int) -> tuple[Any, tuple[float, float]]:
        reward = (0.0, 0.0)
        if self.task is not None:
            size, user = self.task
            upload = size / self.rates[user][action]
            before = self._dry(action)
            self.uploads[action].append((upload, size))
            reward = (before - self._dry(action), -(self.joules[action] * size + 0.01 * upload))
        for server in range(len(self.speed)):
            self.running[server], self.uploads[server], _ = self._run(server, 1.0)
        self.now += 1.0
        self._offer()
        return self._observe(), reward

    def _dry(self, server: int) -> float:
        """Return the total time that the tasks of a server take from now on."""
        return self._run(server, float("inf"))[2]

    def _run(self, server: int, seconds: float) -> tuple[list[float], list[tuple[float, float]], float]:
        """Return a server's running tasks (sorted) and uploads after ``seconds``, and its tasks' time until then."""
        left, uploads, total = list(self.running[server]), sorted(self.uploads[server]), 0.0
        now, speed = 0.0, self.speed[server]
        while now < seconds and (left or uploads):
            end = left[0] * len(left) / speed if left else float("inf")
            join = uploads[0][0] - now if uploads else float("inf")
            passed = min(end, join, seconds - now)
            total += passed * (len(left) + len(uploads))
            if left:
                got = passed * speed / len(left)
                left = [x - got for x in left]
                if end <= passed:
                    left.pop(0)
            now += passed
            if uploads and join <= passed:
                left.append(uploads.pop(0)[1])
                left.sort()
        return left, [(t - seconds, size) for t, size in uploads], total

    def _observe(self) -> Any:
        obs = np.full((ROWS, 5 + BINS), -1.0, np.float32)
        size, user = self.task or (0.0, 0)
        for server, running in enumerate(self.running):
            rate = self.rates[user][server] if self.task else 0.0
            row = obs[server]
            row[:5] = size, rate, self.frequency[server], len(running), len(self.speed) - 1
            row[5:] = 0
            for left in running:
                row[5 + min(int(left), BINS - 1)] += 1
        return obs
