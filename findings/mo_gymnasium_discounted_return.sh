#!/usr/bin/env bash
# MO-Gymnasium 1.3.2 (Gymnasium 1.4.0): the vector wrapper MORecordEpisodeStatistics starts the return "r" and the length
# "l" of each episode anew, but goes on with the discounted return "dr" of the episode before.
#
# Seen: three episodes alike, of two steps with the reward (1, -1), at gamma 1:
#   r [2, -2], l 2, dr [2, -2];  r [2, -2], l 2, dr [4, -4];  r [2, -2], l 2, dr [6, -6]
# Expected: dr [2, -2] each time, as "dr" is said to be the discounted return of the episode.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "mo-gymnasium==1.3.2" "gymnasium==1.4.0"
cat >"$folder/run.py" <<'PY'
import gymnasium
import numpy as np
from gymnasium import spaces
from mo_gymnasium.wrappers.vector import MORecordEpisodeStatistics, MOSyncVectorEnv


class TwoSteps(gymnasium.Env):
    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)
    reward_space = spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(1, np.float32), np.array([1.0, -1.0], np.float32), self.steps == 2, False, {}


envs = MORecordEpisodeStatistics(MOSyncVectorEnv([TwoSteps]))
envs.reset(seed=0)
seen = []
while len(seen) < 3:
    info = envs.step(np.array([0]))[-1]
    if "episode" in info:
        seen.append([info["episode"][name][0].tolist() for name in ("r", "l", "dr")])
print(seen)
assert [r for r, _, _ in seen] == [[2.0, -2.0]] * 3
assert [l for _, l, _ in seen] == [2] * 3
assert [dr for _, _, dr in seen] == [[2.0, -2.0], [4.0, -4.0], [6.0, -6.0]], "it has changed"
PY
"$folder/venv/bin/python" "$folder/run.py"
