"""Lens ``correlation``: do two components still vary together across prompts?"""
