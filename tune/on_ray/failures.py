"""Reasons for the end of a trial's process, from the errors that Ray reports."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

NOTICE_SECONDS = 40.0  # time in which Ray notices that a machine has gone


def recorded_error(trial: Any) -> str:
    """Return the text that Tune has recorded for a trial's end; Tune's ``get_error`` reads a copy not yet written."""
    try:
        return Path(trial.error_file).read_text()
    except (OSError, TypeError):
        return ""


def live_nodes() -> frozenset[str]:
    """Return the ids of the cluster's machines that are alive."""
    import ray

    return frozenset(node["NodeID"] for node in ray.nodes() if node["Alive"])


def is_lost(error: str, nodes_before: frozenset[str], seconds: float = NOTICE_SECONDS) -> bool:
    """Return whether a process ended because the machine it ran on did.

    A broken connection does not tell which of the two has gone, and Ray takes time to notice that a machine has. Where
    there were several machines, this waits for one of them to be missing.

    Args:
        error: text that was recorded.
        nodes_before: machines that were alive when a trial last started.
        seconds: longest wait.
    """
    if "its node has died" in error or "node failure" in error:
        return True
    until = time.monotonic() + seconds
    while len(nodes_before) > 1:
        if nodes_before - live_nodes():
            return True
        if time.monotonic() > until:
            break
        time.sleep(0.5)
    return False


def reason(error: str) -> str:
    """Return in one line why a process ended, from the text that Ray gives."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    told = [line for line in lines if "exit" in line.lower() or "killed" in line.lower() or "memory" in line.lower()]
    return f"its process ended: {' '.join((told or lines or ['no reason given'])[-1].split())[:300]}"
