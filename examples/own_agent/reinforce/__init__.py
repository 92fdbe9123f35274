"""An agent of one's own in a package: REINFORCE (Williams, 1992) with a linear policy for each of a few preferences.

The algorithm is in ``reinforce/agent.py``, its settings in ``reinforce/config.py``; this file says what there is and
loads nothing heavy, since ``morl agents`` imports it. ``pyproject.toml`` names ``SPEC`` in the entry-point group
``morl.agents``, so after ``pip install`` it is an agent like morl's own::

    pip install examples/own_agent
    morl agents
    morl train reinforce --env deep-sea-treasure-v0 --steps 200000

Not installed, it works as ``reinforce:reinforce`` in this folder: importing the module registers it.
"""

import morl

SPEC = morl.register_agent(
    morl.AgentSpec(
        name="reinforce",
        summary="REINFORCE with linear policies, an example",
        entry_point="reinforce.agent:Reinforce",
        config="reinforce.config:ReinforceConfig",
        space="reinforce.config:SPACE",
    )
)
