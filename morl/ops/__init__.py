"""Pure mathematics that agents and the core share: returns, statistics, distributions, preferences, Pareto sets."""
