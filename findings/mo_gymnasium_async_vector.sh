#!/usr/bin/env bash
# MO-Gymnasium 1.3.2 beside Gymnasium 1.4.0, which it allows: MOAsyncVectorEnv cannot be made. Its worker takes seven
# arguments, and Gymnasium's AsyncVectorEnv asks for eight.
#
# Seen: ValueError: A custom `worker` must accept 8 arguments. Got the signature (index: ...
# Expected: two environments in worker processes, as MOSyncVectorEnv has them in one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "mo-gymnasium==1.3.2" "gymnasium==1.4.0"
cat >"$folder/run.py" <<'PY'
import mo_gymnasium
from mo_gymnasium.wrappers.vector import MOAsyncVectorEnv, MOSyncVectorEnv


def build():
    return mo_gymnasium.make("deep-sea-treasure-v0")


if __name__ == "__main__":
    assert MOSyncVectorEnv([build, build]).reset(seed=0)[0].shape == (2, 2)
    try:
        MOAsyncVectorEnv([build, build])
    except ValueError as error:
        print(error)
        assert "must accept 8 arguments" in str(error)
    else:
        raise SystemExit("it has changed: MOAsyncVectorEnv can be made")
PY
"$folder/venv/bin/python" "$folder/run.py"
