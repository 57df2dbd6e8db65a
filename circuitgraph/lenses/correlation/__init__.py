"""Lens ``correlation``: do two components still co-vary across prompts of a scenario?"""
