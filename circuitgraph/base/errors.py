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
    """An adapter or model that was trained from another base."""


class ConditionMet(CircuitGraphError):
    """A condition of ``fail_on`` is met."""


class UsageError(CircuitGraphError):
    """An invalid request: an unknown name, an option that does not apply."""

    exit_code = 2


class ClusterError(CircuitGraphError):
    """The Ray cluster does not answer, has another installation, or keeps failing."""


class StoreUnreachable(CircuitGraphError):
    """The graph database does not answer."""

    exit_code = 4
