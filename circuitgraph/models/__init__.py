"""Load a base model with its adapter, fingerprint it, and reopen the model of a stored run."""
