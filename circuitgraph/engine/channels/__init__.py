"""Channels between components of two models: how much the connections themselves changed."""

from circuitgraph.engine.channels.pairs import Signalled, make_signalled
from circuitgraph.engine.channels.places import Place, places
from circuitgraph.engine.channels.weights import WeightChannels

__all__ = ["Place", "Signalled", "WeightChannels", "make_signalled", "places"]
