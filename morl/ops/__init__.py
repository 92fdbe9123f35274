"""Pure mathematics that agents and the core share: returns, scalarisations, statistics, preferences, Pareto sets."""
