"""Settings of CAPQL, and what a search may choose of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from morl.agents.imitation.settings import STEPS, check_warm_start
from morl.agents.sac.config import SPACE as SAC_SPACE
from morl.agents.sac.config import SACConfig
from morl.ops.preferences import check_concentration
from morl.search_space import Choice, Parameter, Real, Space
from morl.validation import check_integer, check_range


@dataclass(frozen=True)
class CAPQLConfig(SACConfig):
    """Settings of CAPQL. The defaults are for few environment steps."""

    num_envs: int = 4
    """Environments that feed the policy, each for a preference of its own."""
    rollout_steps: int = 8
    """Steps of each environment before the next gradient steps."""
    update_ratio: float | None = 1.0
    """Gradient steps for each environment step, the update-to-data ratio; none leaves their number to
    gradient_steps."""
    replay_capacity: int = 1_024_000
    """Transitions stored; a multiple of num_envs * rollout_steps."""
    learning_starts: int = 1_000
    """Transitions stored before the first gradient step."""
    learning_rate: float = 3e-4
    """Step size of Adam, of actor, critics and temperature."""
    anneal: bool = False
    """Let the learning rate fall linearly to zero over the run."""
    learn_temperature: bool = True
    """Adapt the temperature to a target entropy; as published it is fixed."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers of actor and critics."""
    num_preferences: int = 101
    """Equally spread preferences that the one policy is evaluated for at the end: the rows of front.csv."""
    preference_concentration: tuple[float, ...] = (1.0,)
    """Concentration of the Dirichlet distribution that preferences of episodes are drawn from: one number, or one for
    each objective. 1 is uniform, less favours the corners."""
    corner_share: float = 0.1
    """Share of episodes whose preference is a corner of the simplex."""
    warm_start: Path | None = None
    """Run directory of cmorl or ppo on the same environment. Its archived policies act first, for each preference the
    best of them, and the network imitates them."""
    warm_start_steps: int = STEPS
    """Environment steps that they act for, a part of all steps; learning by reward goes on from there."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer(self, "num_preferences", low=2)
        check_range(self, "corner_share", low=0, high=1)
        check_concentration(self.preference_concentration)
        check_warm_start(self)


SPACE: Space = {
    **{name: parameter for name, parameter in SAC_SPACE.items() if name not in ("gradient_steps", "hidden", "n_step")},
    "twin_minimum": Parameter(Choice(("worth", "objective"))),
    "critic_network": Parameter(Choice(("mlp", "layer_norm"))),
    "target_networks": Parameter(Choice((True, False)), when={"critic_network": ("layer_norm",)}),
    "prioritised_replay": Parameter(Choice((False, True))),
    "update_ratio": Parameter(Choice((0.5, 1.0, 2.0, 4.0))),
    "n_step": Parameter(Choice((1, 3, 5))),
    "hidden": Parameter(Choice(((128, 128), (256, 256)))),
    "relabel_preferences": Parameter(Choice((False, True))),
    "relabel_share": Parameter(Real(0.1, 1.0), when={"relabel_preferences": (True,)}),
    "corner_share": Parameter(Real(0.0, 0.4)),
}
