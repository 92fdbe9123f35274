"""Training: setup from settings, the loop, evaluation, solution sets, checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from morl.lazy import lazy_names

if TYPE_CHECKING:
    from morl.training.loop import train as train

__getattr__ = lazy_names(__name__, {"train": "morl.training.loop:train"})
