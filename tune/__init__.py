"""Hyper-parameter search. Needs the ``tune`` extra."""
