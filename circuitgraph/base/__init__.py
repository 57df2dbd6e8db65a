"""Shared basics: errors, names of components, reading and writing of files, progress."""
