"""The HTML report: one self-contained file, drawn by the scripts in it."""
