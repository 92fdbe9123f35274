"""Drive an environment of MO-Gymnasium with an exported policy: PyTorch alone, neither JAX nor morl.

morl export RUN --preference 0.7 0.3 --out policy.pt2
python drive.py policy.pt2 deep-sea-treasure-v0
"""

import json
import sys

import mo_gymnasium
import torch

files = {"morl.json": ""}
policy = torch.export.load(sys.argv[1], extra_files=files).module()
about = json.loads(files["morl.json"])
env = mo_gymnasium.make(sys.argv[2])
obs, _ = env.reset(seed=0)
total, ended = 0, False
while not ended:
    action = policy(torch.from_numpy(obs[None]))[0].numpy()  # observations as the environment gives them
    obs, reward, terminated, truncated, _ = env.step(action)
    total, ended = total + reward, terminated or truncated
print(dict(zip(about["objectives"], total.tolist(), strict=True)))
