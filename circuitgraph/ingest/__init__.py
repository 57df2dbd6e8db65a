"""Ingest: activity, effects and activation tables become runs.

Imports nothing, because ``tables`` needs no torch.
"""
