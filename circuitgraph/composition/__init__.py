"""Composition scores: how strongly the weights of one head write into what another reads."""
