"""Words of the page and what they mean, for readers who point at them."""

from __future__ import annotations

TERMS = {
    "claim": "an edge said to differ beyond the margin, at the false discovery rate asked for",
    "verdict": (
        "rewired, sign flip, gained, lost are claims; unchanged: any change is surely smaller than "
        "the margin; not detected: no change was found, which is not the same; not testable: see "
        "the reason"
    ),
    "margin": "the smallest change that matters; it is part of the test",
    "q": "the false discovery rate at which the edge would just be claimed",
    "p": "probability of a change this large where the true change is within the margin",
    "evidence": "what the number of prompts or seeds allows to say; insufficient means cannot tell",
    "mechanism": (
        "why an effect changed: upstream (the signal that enters), edge (weights of sender and "
        "receiver), downstream (what reads the result), mixed"
    ),
    "scope": (
        "what a claim is about: checkpoint, these two models; recipe, their training beyond its "
        "seeds"
    ),
    "lens": "which kind of edge is compared",
    "low": "the 95% interval of the change",
    "agreement": (
        "|mean| over the root mean square of the change on single prompts: 100% where all prompts "
        "change alike"
    ),
    "block": "claims whose changes go together over prompts; they stand or fall together",
    "hub": "a component at which more edges differ than chance puts there",
    "gain": "how much stronger all effects of B are than those of A; 1 is as strong",
    "null pair": "two variants said not to differ: what the same test claims there is noise",
}
