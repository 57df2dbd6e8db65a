"""Lens ``effect``: does patching an edge move the decision as much as it did?"""
