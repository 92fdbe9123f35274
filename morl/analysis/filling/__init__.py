"""Filling of fronts by merged parameters; :func:`morl.analysis.filling.fill.fill` is the way in."""
