"""Errors that a user can act on: what was found, where, and what would mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an input.

    Attributes
    ----------
    file
        The file (or object) the fault is in.
    place
        Where in it: a line, a column, a feature. May be empty.
    found
        What was found there.
    fix
        What would mend it.
    """

    file: str
    place: str
    found: str
    fix: str

    def __str__(self) -> str:
        where = f"{self.file}, {self.place}" if self.place else self.file
        return " ".join(f"{where}: {self.found}; {self.fix}".split())


class SclineageError(Exception):
    """Base of all errors raised on purpose."""


class InputError(SclineageError, ValueError):
    """Bad input: one line that names the file, the place, what was found and what would fix it."""

    def __init__(self, file: object, found: str, fix: str, *, place: str = "") -> None:
        self.fault = Fault(str(file), place, found, fix)
        super().__init__(str(self.fault))

    @property
    def faults(self) -> list[Fault]:
        """The faults behind this error (one)."""
        return [self.fault]


class InputErrors(InputError):
    """Several faults found at once; the message is the first and says how many more there are."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        first, *rest = faults
        self.fault = first
        self._faults = list(faults)
        more = f" (and {len(rest)} more; run `sclineage check` to list all)" if rest else ""
        SclineageError.__init__(self, f"{first}{more}")

    @property
    def faults(self) -> list[Fault]:
        """All faults, in the order in which they were found."""
        return self._faults


class MissingDependencyError(SclineageError, ImportError):
    """An optional dependency is absent; the message holds the pip command that installs it."""

    def __init__(self, what: str, command: str) -> None:
        super().__init__(f"{what} is not installed; run: {command}")


def nearest(name: str, known: Iterable[str], *, n: int = 3) -> str:
    """Phrase naming the known words closest to `name`, for error messages."""
    words = list(known)
    folded = {w.casefold(): w for w in reversed(words)}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=n, cutoff=0.6)
    if close:
        return "nearest existing: " + ", ".join(folded[c] for c in close)
    return f"none of the {len(words)} existing names is close"
