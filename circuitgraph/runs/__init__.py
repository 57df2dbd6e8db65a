"""Runs on disk, which runs a name means, and the records shared by one prompt set."""
