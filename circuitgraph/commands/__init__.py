"""The commands: in which module each is, and its line in the help, by what one does with it."""

SECTIONS = {
    "Start": {
        "demo": ("ingesting", "A first result in minutes, from real trained models."),
        "prompts": ("prompting", "Make a prompt file, or look at one before the long work."),
        "ingest": ("ingesting", "Measure a model variant, keep its graph."),
        "ingest-table": ("ingesting", "Take a table of somebody else's activations."),
        "check": ("checking", "Is this fine-tune real, and what is left of it."),
        "import-circuit": ("ingesting", "Take a circuit of EAP-IG, MIB or CircuitKIT."),
        "variants": ("looking", "The variants of the workspace."),
        "edges": ("looking", "The edges of one variant, with intervals."),
    },
    "Compare": {
        "diff": ("comparing", "Which edges differ between two variants."),
        "compare": ("comparing", "Many variants against one base."),
        "explain": ("comparing", "One edge in two variants, prompt by prompt and in words."),
        "hubs": ("comparing", "Components by strength, with their ranks."),
        "nodes": ("nodes", "What components do, and where that changed."),
        "report": ("comparing", "A page about two variants (HTML)."),
        "patch": ("patching", "Which parts of one variant carry its decisions into another."),
        "steer": ("steering", "The direction between two variants in a third one's run."),
        "transplant": ("transplanting", "What a variant decides with another's weights."),
        "blocks": ("blocks", "Claims that go together, tested as circuits."),
    },
    "Lab": {
        "train": ("training", "Teach a model a recipe: adapters by reward, and nulls."),
        "behave": ("behaving", "What variants decide in games, state by state."),
        "study": ("studying", "Train recipes and nulls, compare them, answer three questions."),
    },
    "Graph": {
        "query": ("catalogue", "Ask a named question of the graph."),
        "cypher": ("catalogue", "Ask the graph in Cypher."),
        "export": ("exporting", "Write graphs for Gephi, Cytoscape and others."),
        "push": ("pushing", "Copy the graph into the server given by --store."),
        "pull": ("pushing", "Copy the graph of the server given by --store here."),
        "rebuild": ("pushing", "Make the graph file again from the runs beside it."),
    },
    "More": {
        "faithfulness": ("faithfulness", "What the strongest edges alone recover."),
        "compose": ("composing", "Composition of components, from weights alone."),
        "convert": ("converting", "A GGUF file as a float32 model folder."),
        "plan": ("planning", "What a design can show, before anything is trained."),
        "plant": ("planting", "A pair of models whose changed edges are known."),
        "runs": ("looking", "The runs of the workspace, with their ids."),
        "remove": ("ingesting", "Remove a variant and free its name."),
        "completion": ("catalogue", "The shell's completion script."),
    },
}
