"""Vector-reward environments. Importing this registers ours, as plain data: no JAX, no environment is loaded."""

from __future__ import annotations

from morl.envs import building_suite as building_suite
from morl.envs import classic_suite as classic_suite
from morl.envs import gfn_suite as gfn_suite
from morl.envs import host_suite as host_suite
from morl.envs import mec_suite as mec_suite
