"""Utilities: one number of a vector of returns, how good it is for a user, and what they make of a set of policies."""
