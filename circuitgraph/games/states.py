"""State of a game in a prompt, from its columns or its scenario's name."""

from __future__ import annotations

import re
from dataclasses import replace

from circuitgraph.base.errors import InputError
from circuitgraph.prompts.record import Prompt, PromptSet

DEFAULT_GAME = "ipd"
_STATE = re.compile(r"([CD])([CD])(?![A-Za-z])")


def with_states(prompts: PromptSet) -> tuple[PromptSet, list[str]]:
    """Fill in the states of prompts, from columns or names of scenarios.

    Returns
    -------
    PromptSet, list of str
        What was taken from elsewhere than from columns, one line each.

    Raises
    ------
    InputError
        Neither tells the states; says what to add.
    """
    remarks = []
    if any(not prompt.state for prompt in prompts):
        prompts = replace(prompts, prompts=tuple(map(_named_state, prompts)))
        without = next((p for p in prompts if not p.state), None)
        if without is not None:
            raise InputError(
                f"{prompts.source}, line {without.line}: no state: add the columns state_self and "
                "state_other (C or D: the last moves), or begin every scenario's name with them, "
                "such as CD_punished; circuitgraph prompts make game writes them"
            )
        remarks.append(f"{prompts.source}: states are taken from the names of scenarios")
    if any(prompt.game is None for prompt in prompts):
        given = (replace(p, game=p.game or DEFAULT_GAME) for p in prompts)
        prompts = replace(prompts, prompts=tuple(given))
        remarks.append(f"{prompts.source}: no column game; payoffs are those of {DEFAULT_GAME}")
    return prompts, remarks


def _named_state(prompt: Prompt) -> Prompt:
    found = _STATE.match(prompt.scenario)
    if prompt.state or found is None:
        return prompt
    return replace(prompt, state_self=found[1], state_other=found[2])
