"""The commands: module and help line of each, in sections."""

SECTIONS = {
    "Start": {
        "demo": ("ingesting", "A first result in minutes, from real trained models."),
        "prompts": ("prompting", "Make a prompt file, or check one before a long ingest."),
        "ingest": ("ingesting", "Measure a model variant, keep its graph."),
        "ingest-table": ("ingesting", "Read a table of activations from elsewhere."),
        "check": ("checking", "What a fine-tune changes in its base."),
        "import-circuit": ("ingesting", "Read a circuit of EAP-IG, MIB or CircuitKIT."),
        "variants": ("looking", "The variants of the workspace."),
        "edges": ("looking", "The edges of one variant, with intervals."),
    },
    "Compare": {
        "diff": ("comparing", "Which edges differ between two variants."),
        "compare": ("comparing", "Many variants against one base."),
        "explain": ("comparing", "One edge in two variants, per prompt and in words."),
        "hubs": ("comparing", "Components by strength, with rank intervals."),
        "nodes": ("nodes", "Measures of components, and where they changed."),
        "report": ("comparing", "A page about two variants (HTML)."),
        "patch": ("patching", "Patch activations of one variant into another."),
        "steer": ("steering", "Steer a variant with the difference of two others."),
        "transplant": ("transplanting", "Decisions of a variant with another's weights."),
        "blocks": ("blocks", "Blocks of correlated claims, tested as circuits."),
    },
    "Lab": {
        "train": ("training", "Train LoRA adapters by reward, and null recipes."),
        "behave": ("behaving", "Decisions of variants in games, by state."),
    },
    "Graph": {
        "query": ("catalogue", "Run a named query of the graph."),
        "cypher": ("catalogue", "Query the graph in Cypher."),
        "export": ("exporting", "Write graphs for Gephi, Cytoscape and others."),
        "push": ("pushing", "Copy the graph to the server given by --store."),
        "pull": ("pushing", "Copy the graph of that server into the workspace."),
        "rebuild": ("pushing", "Rebuild the graph file from the runs beside it."),
    },
    "More": {
        "faithfulness": ("faithfulness", "Faithfulness of the strongest edges as circuits."),
        "compose": ("composing", "Composition scores from weights alone."),
        "convert": ("converting", "A GGUF file as a float32 model folder."),
        "plan": ("planning", "Power and cost of a design."),
        "plant": ("planting", "A pair of models with known changed edges."),
        "runs": ("looking", "The runs of the workspace, with their ids."),
        "remove": ("ingesting", "Remove a variant and free its name."),
        "completion": ("catalogue", "The shell's completion script."),
    },
}
