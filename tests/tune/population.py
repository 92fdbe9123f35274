"""Agent for tests of population-based training: it compiles fast, and its step may change during a training."""

from dataclasses import replace

from morl.registry import register_agent
from morl.search_space import Parameter, Real
from tests.tiny import SPEC

SPACE = {"step": Parameter(Real(0.1, 1.0), live=True)}
register_agent(replace(SPEC, name="tiny-population", space="tests.tune.population:SPACE"))
