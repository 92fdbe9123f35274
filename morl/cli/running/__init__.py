"""Interrupts and lines of JSON of the commands that run for long."""
