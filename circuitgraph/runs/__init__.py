"""A run on disk, which runs a name means, what all runs on one prompt set share."""
