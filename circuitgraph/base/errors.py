"""Every error a user can meet: what is wrong, where, and what to do."""

from __future__ import annotations


class CircuitGraphError(Exception):
    """Base of all errors raised on purpose; the command line prints it on one line.

    Attributes
    ----------
    exit_code
        The exit status of the command line for this error.
    """

    exit_code = 1


class InputError(CircuitGraphError):
    """A file, model, adapter or table that cannot be used as it is."""


class OtherBase(InputError):
    """An adapter, or a model, that was not made of the base it is held against."""


class ConditionMet(CircuitGraphError):
    """What was found is what ``fail_on`` was told to fail on."""


class UsageError(CircuitGraphError):
    """A request that makes no sense: an unknown name, an option that does not apply."""

    exit_code = 2


class ClusterError(CircuitGraphError):
    """The Ray cluster does not answer, does not fit this one's installation, or keeps dying."""


class StoreUnreachable(CircuitGraphError):
    """The graph database does not answer."""

    exit_code = 4
