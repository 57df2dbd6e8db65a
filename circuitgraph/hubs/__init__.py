"""Hubs: components of much strength in a variant, and those whose strength changed."""
