"""The command line, as ``python -m circuitgraph``."""

from circuitgraph.cli import main

if __name__ == "__main__":
    main()
