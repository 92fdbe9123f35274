"""Train the agent of this folder from Python, without installing it: ``python train.py``."""

import reinforce  # noqa: F401  # registers the agent

import morl

settings = morl.TrainSettings(
    env="deep-sea-treasure-v0", steps=200_000, evaluations=5, eval_episodes=4, final_episodes=4
)
run = morl.train("reinforce", settings)
for returns, preference in zip(run.front.returns, run.front.preferences, strict=True):
    print(f"preference {preference.round(2)}: treasure {returns[0]:.1f}, time {returns[1]:.0f}")
