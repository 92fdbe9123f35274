"""Vector-reward environments, a folder a family. Importing this registers ours, as plain data: none is loaded."""

from __future__ import annotations

from morl.envs import building as building
from morl.envs import classic as classic
from morl.envs import constructive as constructive
from morl.envs import host as host
from morl.envs import mec as mec
