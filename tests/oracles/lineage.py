"""Specification of `sclineage.clones.barcodes.barcode_sets`, plain Python."""

from __future__ import annotations


def barcode_sets(cells: list[set[int]], n_barcodes: int) -> list[int]:
    """Barcode that each barcode stands for; `cells` are the barcodes of each cell."""
    holders = [{i for i, cell in enumerate(cells) if b in cell} for b in range(n_barcodes)]
    order = sorted(range(n_barcodes), key=lambda b: (-len(holders[b]), b))
    stands_for = list(range(n_barcodes))
    for place, own in enumerate(order):
        fits = []
        for lead in order[:place]:
            n = len(holders[own] & holders[lead])
            if n >= 2 and n >= 0.5 * len(holders[own]) and n >= 0.3 * len(holders[lead]) and stands_for[lead] == lead:
                fits.append((-n, -len(holders[lead]), lead))
        if fits:
            stands_for[own] = min(fits)[2]
    return stands_for
