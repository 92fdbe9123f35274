"""Fronts judged from logged episodes of another policy: logs, estimators, and intervals of what they say."""
