"""Load a base model with its adapter, fingerprint it, open the model behind a stored run again."""
