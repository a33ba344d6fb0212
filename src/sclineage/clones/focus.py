"""Clones of interest, as a user writes them: ids, junctions (nucleotides or amino acids), with genes or without."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from .._errors import InputError, nearest
from .codons import translate
from .genes import compatible, normalise_genes
from .normalise import core


def parse_focus(path_or_text: str | os.PathLike[str], receptors: pd.DataFrame, *,
                aliases: pd.DataFrame | None = None) -> list[str]:
    """Clone ids that a focus file (or text) names.

    Parameters
    ----------
    path_or_text
        A file, or the text itself. One clone per line: a clone id (or alias), or a TRB or TRA junction in nucleotides
        or amino acids, optionally followed by its V and J gene, separated by blanks, tabs, commas or semicolons.
        Lines that begin with ``#`` are skipped.
    receptors
        Table ``receptors``.
    aliases
        Frame ``alias, clone_id`` of ids that clones had in another run.

    Returns
    -------
    Ids in the order of the lines, without repeats. A junction that several clones share names all of them.

    Raises
    ------
    InputError
        A line names no clone; the message gives the nearest.
    """
    name, lines = _lines(path_or_text)
    found: list[str] = []
    for number, line in lines:
        words = [w for w in re.split(r"[\s,;]+", line) if w]
        hits = _by_id(words[0], receptors, aliases) or _by_chain(words, receptors)
        if not hits:
            raise InputError(name, f"{words[0]!r} is no clone of this patient", _nearest(words[0], receptors),
                             place=f"line {number}")
        found += [h for h in hits if h not in found]
    if not found:
        raise InputError(name, "no clone is named", "write one clone id or junction per line")
    return found


def _lines(path_or_text: str | os.PathLike[str]) -> tuple[str, list[tuple[int, str]]]:
    text, name = str(path_or_text), "focus"
    if "\n" not in text:
        path = Path(text)
        if path.is_file():
            text, name = path.read_text(encoding="utf-8-sig"), str(path)
        elif isinstance(path_or_text, os.PathLike) or "/" in text:
            raise InputError(text, "no such file", "give a file with one clone per line")
    lines = [(i, line.strip()) for i, line in enumerate(text.splitlines(), start=1)]
    return name, [(i, line) for i, line in lines if line and not line.startswith("#")]


def _by_id(word: str, receptors: pd.DataFrame, aliases: pd.DataFrame | None) -> list[str]:
    ids = receptors["clone_id"].astype(str)
    hits = ids[(ids == word) | ids.str.endswith(":" + word)].tolist()
    if not hits and aliases is not None and len(aliases):
        names = aliases["alias"].astype(str)
        hits = aliases.loc[(names == word) | names.str.endswith(":" + word), "clone_id"].tolist()
    return sorted(set(hits))


def _by_chain(words: list[str], receptors: pd.DataFrame) -> list[str]:
    """Clones with the junction; any further words are genes that must be compatible with those of the chain."""
    wanted = words[0].upper()
    genes = [g for g in normalise_genes(words[1:]) if g]
    columns = (receptors[c].astype(str) for c in ("clone_id", "trb_junction", "trb_junction_aa", "trb_v", "trb_j",
                                                  "tra_junction", "tra_v", "tra_j"))
    return [clone for clone, *row in zip(*columns, strict=True) if any(
        _same(wanted, junction) and all(_fits(g, v, j) for g in genes) for junction, v, j in _chains(*row))]


def _chains(trb: str, trb_aa: str, trb_v: str, trb_j: str, tra: str, tra_v: str,
            tra_j: str) -> list[tuple[str, str, str]]:
    """Junctions of a clone with their genes, in nucleotides and amino acids: the TRB, each TRA."""
    out = [(trb, trb_v, trb_j), (trb_aa, trb_v, trb_j)]
    for junction, v, j in zip(tra.split(";"), tra_v.split(";"), tra_j.split(";"), strict=True):
        out += [(junction, v, j), (translate(junction), v, j)]
    return [chain for chain in out if chain[0]]


def _same(wanted: str, junction: str) -> bool:
    return wanted == junction or (set(wanted) <= set("ACGT") and len(wanted) > 12 and core(wanted) == core(junction))


def _fits(gene: str, v: str, j: str) -> bool:
    return compatible(gene, v if gene[3:4] == "V" else j)


def _nearest(word: str, receptors: pd.DataFrame) -> str:
    tra = [x for text in receptors["tra_junction"].astype(str) for x in text.split(";") if x]
    known = [*receptors["clone_id"].astype(str), *receptors["trb_junction_aa"].astype(str)]
    if set(word.upper()) <= set("ACGTN"):
        known = [*receptors["trb_junction"].astype(str), *tra]
    elif re.fullmatch(r"[A-Za-z*_]+", word):
        known = [*receptors["trb_junction_aa"].astype(str), *map(translate, tra)]
    return nearest(word, [k for k in known if k])
