"""Agents, a folder each. Importing this registers ours, as plain data: no JAX and no agent is loaded."""

from __future__ import annotations

from morl.agents import capql as capql
from morl.agents import cmorl as cmorl
from morl.agents import d3po as d3po
from morl.agents import dsac as dsac
from morl.agents import gmorl as gmorl
from morl.agents import gpi_ls as gpi_ls
from morl.agents import mogfn as mogfn
from morl.agents import mogfn_al as mogfn_al
from morl.agents import ppo as ppo
