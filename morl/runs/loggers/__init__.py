"""Loggers of a training: what of its metrics goes where, beside the run directory's own ``metrics.csv``.

One file each; :mod:`morl.registry` says which there are, and imports none of them.
"""
