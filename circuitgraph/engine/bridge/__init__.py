"""Families without a reader: hooks on the library's ``TransformerBridge``.

Slower, and the same numbers. Nothing is taken on trust: how a model's blocks are wired is
read off a run, and ``checks`` says whether the parts found there are all there is.
"""
