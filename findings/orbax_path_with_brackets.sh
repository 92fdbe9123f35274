#!/usr/bin/env bash
# Orbax 0.12.8 (JAX 0.10.2): a checkpoint saved below a folder whose name has [ and ], such as hidden=[64,64] of a sweep,
# is reported as written, with commit_success.txt in it, and cannot be restored: its merge looks for files by a glob over
# the whole path, finds none and skips them with a warning of the log.
#
# Seen: save returns, the folder lacks manifest.ocdbt and d/, and restore raises ValueError: NOT_FOUND ... zarr.
# Expected: the array comes back as below a plain folder, or save raises.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "orbax-checkpoint==0.12.8" "jax==0.10.2" "numpy<3"
cat >"$folder/run.py" <<'PY'
import os
import sys

import numpy as np
import orbax.checkpoint as ocp


def saved_and_restored(folder):
    path = os.path.join(folder, "policy")
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, {"w": np.arange(3.0)})
    files = sorted(os.listdir(path))
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            return files, checkpointer.restore(path)["w"].tolist()
    except ValueError as error:
        return files, str(error)[:60]


for name in ("plain", "hidden=[64,64]"):
    folder = os.path.join(sys.argv[1], name)
    os.makedirs(folder)
    files, found = saved_and_restored(folder)
    print(name, files, found)
    assert "commit_success.txt" in files
    if name == "plain":
        assert found == [0.0, 1.0, 2.0]
    else:
        assert "manifest.ocdbt" not in files, "it has changed: the files were merged"
        assert "NOT_FOUND" in found, "it has changed: the array came back"
PY
"$folder/venv/bin/python" "$folder/run.py" "$folder"
