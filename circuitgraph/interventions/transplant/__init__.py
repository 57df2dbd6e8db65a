"""Weights of one variant's components put into another."""
