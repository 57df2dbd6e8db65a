"""Hubs: components of large strength in a variant, and those whose strength changed."""
