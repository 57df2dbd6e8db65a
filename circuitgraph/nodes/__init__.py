"""Questions about components: what each does, and whether that changed between variants."""
