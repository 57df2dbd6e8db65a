"""Lens ``effect``: did the effect of patching an edge on the decision change?"""
