"""Adapters to and from Gymnasium, and wrappers of environments with a vector reward."""
