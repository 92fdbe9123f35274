"""Presets of D3PO."""
from typing import Any
def tuned(env: str) -> dict[str, Any]:
    return {}
