"""Environments with a vector reward, one folder for each family.

Importing this package registers them as plain data; an environment's own module is imported when it is first made.
"""

from __future__ import annotations

from morl.envs import building as building
from morl.envs import classic as classic
from morl.envs import constructive as constructive
from morl.envs import host as host
from morl.envs import mec as mec
from morl.envs import mujoco as mujoco
from morl.envs import offloading as offloading
