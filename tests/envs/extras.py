"""Environments that can be made here, as optional packages are not installed everywhere."""

import importlib.util

from morl.registry import env_specs

MODULES = {"chem": ("rdkit", "RNA")}


def installed(spec):
    """Return whether the packages that an environment needs are installed."""
    return all(importlib.util.find_spec(module) for module in MODULES.get(spec.extra, ()))


def native_specs():
    """Return the specs of the JAX-native environments that can be made."""
    return [spec for spec in env_specs().values() if spec.backend == "jax" and installed(spec)]
