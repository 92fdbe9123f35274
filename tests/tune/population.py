"""An agent that compiles fast and whose step may change while it goes on: for population-based training."""

from dataclasses import replace

from morl.registry import register_agent
from morl.search_space import Parameter, Real
from tests.tiny import SPEC

SPACE = {"step": Parameter(Real(0.1, 1.0), live=True)}
register_agent(replace(SPEC, name="tiny-population", space="tests.tune.population:SPACE"))
