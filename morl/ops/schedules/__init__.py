"""Schedules of what objectives, steps and samples count while a policy learns, as pure functions."""
