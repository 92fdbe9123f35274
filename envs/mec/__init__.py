"""Task offloading in mobile edge computing."""

from morl.envs.mec.environment import MecOffloading

__all__ = ["MecOffloading"]
