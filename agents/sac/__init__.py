"""Soft actor-critic with a vector critic, conditioned on a preference."""
