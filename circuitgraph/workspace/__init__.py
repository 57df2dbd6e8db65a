"""A workspace: the folder that holds runs and their graph, and all one can do with it."""

from circuitgraph.workspace.workspace import Workspace

__all__ = ["Workspace"]
