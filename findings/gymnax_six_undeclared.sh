#!/usr/bin/env bash
# gymnax 1.0.1 (JAX 0.10.2, python-dateutil 4.0.0): a fresh environment that has what gymnax asks for cannot import it.
# gymnax/utils/load_mnist.py, which every import of the package runs, imports six, and the package does not require it.
# Until python-dateutil 4, which matplotlib brings, six came with that.
#
# Seen: import gymnax raises ModuleNotFoundError: No module named 'six'; with six 1.17.0 it works.
# Expected: the package names what it imports.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "gymnax==1.0.1" "jax==0.10.2" "python-dateutil==4.0.0" "matplotlib==3.11.2"
requirements=$("$folder/venv/bin/pip" show gymnax | grep '^Requires:')
echo "$requirements"
case "$requirements" in *six*) echo "it has changed: six is required" && exit 1 ;; esac
if "$folder/venv/bin/python" -c "import gymnax" 2>"$folder/error"; then
  echo "it has changed: gymnax is imported without six" && exit 1
fi
tail -n 1 "$folder/error"
grep -q "No module named 'six'" "$folder/error"
"$folder/venv/bin/pip" install -q "six==1.17.0"
"$folder/venv/bin/python" -c "import gymnax; print('imported with six')"
