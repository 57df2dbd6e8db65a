"""A workspace in the browser: any pair of variants, any lens, and Cypher that only reads."""
