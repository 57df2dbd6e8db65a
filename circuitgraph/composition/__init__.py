"""Composition scores: how strongly one head's write weights overlap with another's read weights."""
