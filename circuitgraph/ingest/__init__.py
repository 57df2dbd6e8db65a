"""Ingest: activity, effects and activation tables become runs.

``tables`` needs no torch, so nothing is imported here.
"""
