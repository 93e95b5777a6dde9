"""Metrics and alert rules."""
