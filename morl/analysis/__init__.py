"""Finished runs read back: their numbers, comparisons with confidence intervals, and episodes played again."""
