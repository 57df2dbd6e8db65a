"""Analyses of graphs that are safe on signed weights."""
