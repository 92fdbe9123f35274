"""Environments that can be made here, as optional packages are not installed everywhere."""

import importlib.util

import pytest

from morl.registry import env_specs

MODULES = {"chem": ("rdkit", "RNA")}


def installed(spec):
    """Return whether the packages that an environment needs are installed."""
    return all(importlib.util.find_spec(module) for module in MODULES.get(spec.extra, ()))


def native_specs():
    """Return the specs of the JAX-native environments that can be made."""
    return [spec for spec in env_specs().values() if spec.backend == "jax" and installed(spec)]


# Scenarios that share their code with mec-local-v0: what compiles them is in the slow tier.
ALIKE = {"mec-deadlines-v0", "mec-bursty-v0", "mec-trace-v0", "mec-failures-v0"}


def native_cases():
    """Return the specs of :func:`native_specs` as test cases, slow ones where another case has the same code."""
    return [pytest.param(spec, id=spec.id, marks=[pytest.mark.slow] * (spec.id in ALIKE)) for spec in native_specs()]
