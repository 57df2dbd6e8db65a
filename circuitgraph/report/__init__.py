"""The HTML report: self-contained, without scripts."""
