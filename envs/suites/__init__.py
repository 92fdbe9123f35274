"""Adapters to environments in JAX of other suites, a file for each suite (:data:`morl.registry.SUITES`)."""
