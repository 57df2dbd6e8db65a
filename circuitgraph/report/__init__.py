"""The page people look at: self-contained HTML, no script, nothing from the network."""
