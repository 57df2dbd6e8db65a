"""Which connections between a transformer's parts did fine-tuning change?

The public API; see the README for the command line, which says the same.
"""
