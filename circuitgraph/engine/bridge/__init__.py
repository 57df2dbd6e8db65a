"""Families without a reader: hooks on the library's ``TransformerBridge``.

Slower, with the same numbers. How a model's blocks are connected is inferred from a run, and
``checks`` verifies that the contributions found are complete.
"""
