"""Warm start: a network that takes any preference imitates archived policies of one preference each."""
