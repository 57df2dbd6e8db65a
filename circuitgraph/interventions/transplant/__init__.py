"""Transplants: weights of one variant's components in another."""
