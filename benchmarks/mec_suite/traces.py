"""The synthetic trace of the package: 600 tasks, a rate with a slow cycle and bursts, log-normal sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write(path: Path) -> None:
    """Write times in seconds and sizes in Mbit, from a fixed seed."""
    draw = np.random.default_rng(0)
    now, burst, rows = 0.0, 0, []
    while len(rows) < 600:
        rate = 0.9 * (1 + 0.6 * np.sin(2 * np.pi * now / 150)) * (4 if burst > 0 else 0.8)
        now += draw.exponential(1 / rate)
        if burst > 0:
            burst -= 1
        elif draw.random() < 0.04:
            burst = int(draw.integers(4, 12))
        rows.append((now, min(max(draw.lognormal(1.2, 0.8), 0.1), 40)))
    path.write_text("time,size\n" + "".join(f"{time:.3f},{size:.3f}\n" for time, size in rows))
    print(f"# wrote {path}")
