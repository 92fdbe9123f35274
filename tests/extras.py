"""Which environments can be made here: optional packages are not installed everywhere."""

import importlib.util

from morl.registry import env_specs

MODULES = {"chem": ("rdkit", "RNA")}


def installed(spec):
    """Whether the packages that an environment needs are there."""
    return all(importlib.util.find_spec(module) for module in MODULES.get(spec.extra, ()))


def native_specs():
    """The JAX-native environments that can be made."""
    return [spec for spec in env_specs().values() if spec.backend == "jax" and installed(spec)]
