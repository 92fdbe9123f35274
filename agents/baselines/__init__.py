"""Baselines on constructive tasks: random objects, NSGA-II and MO-REINFORCE."""
