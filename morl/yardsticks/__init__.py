"""Yardsticks of an environment: its known front, two reference points, and returns of trivial policies beside them.

``coverage`` measures how much of a known front is found, ``fronts`` gives the known front of an environment,
``stored`` reads what ``benchmarks/make_yardsticks.py`` has measured, and ``protocol`` puts all of it together.
"""
