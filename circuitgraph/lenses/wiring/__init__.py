"""Lens ``wiring``: does the receiver respond differently to the same signal?"""
