#!/usr/bin/env bash
# MO-Gymnasium 1.3.2 (Gymnasium 1.4.0): the front that minecart-v0 computes for itself counts on more ore than its mines
# give, so that some of its points cannot be reached.
#
# A mine digs max(0, x) of a normal variable x. Its distribution_means(), which pareto_front() is computed from, are the
# means of x given that it is above 0: twice as much where the mean of x is 0.
#
# Seen: the first mine's poorer ore gives 0.020 a dig on average (20 000 digs) and is counted as 0.040; its richer one,
# which is hardly ever below 0, gives 0.20 and is counted as 0.20.
# Expected: the means of what is dug, mean * cdf(mean / std) + std * pdf(mean / std), which is 0.020 of the poorer ore.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "mo-gymnasium==1.3.2" "gymnasium==1.4.0"
cat >"$folder/run.py" <<'PY'
import warnings

import numpy as np
from scipy.stats import norm

warnings.simplefilter("ignore")
import mo_gymnasium

np.random.seed(0)
env = mo_gymnasium.make("minecart-v0").unwrapped
for mine in env.mines[:1]:
    dug = np.mean([mine.mine() for _ in range(20_000)], axis=0)
    counted = np.asarray(mine.distribution_means())
    law = np.array([d.mean() * norm.cdf(d.mean() / d.std()) + d.std() * norm.pdf(d.mean() / d.std()) for d in mine.distributions])
    print("dug", dug.round(4), "expected", law.round(4), "counted", counted.round(4))
    assert np.allclose(dug, law, atol=0.002)
    poor = counted.argmin()
    assert np.isclose(counted[poor], 2 * law[poor], rtol=0.01), "it has changed"
    assert np.isclose(counted.max(), law.max(), rtol=0.01)
PY
"$folder/venv/bin/python" "$folder/run.py"
