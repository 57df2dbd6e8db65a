"""All inputs of training except the loaded model, checked before it is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.base.progress import Reporter
from circuitgraph.base.textfiles import expanded
from circuitgraph.games.opponents import opponent_named
from circuitgraph.games.payoffs import GAMES, Game
from circuitgraph.models.adapters import require_adapter
from circuitgraph.models.architectures import require_decoder, sizes_of
from circuitgraph.models.devices import require_there
from circuitgraph.models.variants import fingerprints, model_folder
from circuitgraph.prompts.reader import Source, read_prompts
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.training.grpo import require_trl
from circuitgraph.training.request import TrainRequest, key_of
from circuitgraph.training.sites import components_named
from circuitgraph.training.texts import Data, training_data


@dataclass(frozen=True)
class Plan:
    """All inputs of training except the loaded model.

    Attributes
    ----------
    base, out
        The model's folder; the folder for adapters.
    data
        Texts in groups.
    components
        To train; empty where an adapter is trained further.
    games
        Of the data, with payoffs.
    prints
        Hashes of the base's files and of the adapter trained further.
    request
        All options.
    """

    base: Path
    out: Path
    data: Data
    components: tuple[str, ...]
    games: tuple[Game, ...]
    prints: Mapping[str, str]
    request: TrainRequest

    def folder(self, seed: int) -> Path:
        """Folder of a seed's adapter."""
        return self.out / f"{self.request.recipe.name}-{seed}"

    def key(self, seed: int) -> str:
        """Hash of all that determines a seed's adapter."""
        told = self.request.record() | {"rewards": self.rewards, "components": self.components}
        return key_of(told, self.data.hash, dict(self.prints), seed)

    @property
    def rewards(self) -> dict[str, Any]:
        """Reward by game, state and move; empty for null recipes."""
        recipe, opponent = self.request.recipe, opponent_named(self.request.opponent)
        found = {game.name: recipe.rewards(game, opponent) for game in self.games}
        return {name: table for name, table in found.items() if table is not None}


def planned(
    model: str | os.PathLike[str],
    prompts: Source,
    out: Path,
    request: TrainRequest,
    reporter: Reporter,
    data: Data | None = None,
) -> Plan:
    """Check the request; raises InputError and UsageError.

    ``data`` are those of these prompts, where another plan has read them.
    """
    if request.trainer == "trl":
        require_trl()
    require_there(request.device)
    folder = model_folder(Path(model), reporter)
    require_decoder(folder)
    adapter = None if request.adapter is None else expanded(request.adapter)
    if adapter is not None:
        require_adapter(adapter)
        if request.components is not None or request.layers is not None:
            raise UsageError("``adapter`` says what is trained; leave components and layers out")
    require_folder(out)
    config = config_of(folder)
    count = sizes_of(config, folder)[0]
    chosen = components_named(request.components, request.layers, count)
    if data is None:
        data = training_data(read_prompts(prompts), load_tokenizer(folder), config.vocab_size)
    games = _known_games(data, request)
    for line in data.remarks:
        reporter.remark(line)
    prints = fingerprints(model if isinstance(model, str) else Path(model), adapter, folder)
    return Plan(
        base=folder, out=out, data=data, components=() if adapter else tuple(chosen), games=games,
        prints={k: v for k, v in prints.items() if k != "tokenizer"}, request=request,
    )  # fmt: skip


def config_of(folder: Path) -> Any:
    """The configuration of a model folder."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, local_files_only=True)


def _known_games(data: Data, request: TrainRequest) -> tuple[Game, ...]:
    known = {**GAMES, **request.games}
    if request.recipe.is_null or request.recipe.table is not None:
        return tuple(known.get(name, Game(name, {})) for name in data.games)
    for name in data.games:
        if name not in known:
            raise InputError(
                f"the prompts are of a game {name!r} whose payoffs are not known; give its TOML "
                "file by ``game``"
            )
    return tuple(known[name] for name in data.games)


def require_folder(out: Path) -> None:
    """Refuse (UsageError) a place where no folder can be made."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"-o {out}: this is a file; name a folder")
    if not out.exists() and not out.absolute().parent.is_dir():
        raise UsageError(f"-o {out}: there is no folder {out.parent}")
