"""A statement of the report: one question, one word, one sentence, its limits, and what would decide more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[Any, Any]  # one row of a table, as a Series or a dict


@dataclass(frozen=True, slots=True)
class Statement:
    """What is said about one question.

    Attributes
    ----------
    question
        The question, in a few words.
    word
        Word of the table, as printed.
    says
        The sentence.
    limits
        What the statement leaves open.
    decides
        What would decide more: cells needed, or the next assay.
    """

    question: str
    word: str
    says: str
    limits: str = ""
    decides: str = ""


def lower(text: str) -> str:
    """Text for the middle of a sentence."""
    return text[:1].lower() + text[1:]


def capital(text: str) -> str:
    """Text for the start of a sentence."""
    return text[:1].upper() + text[1:]
