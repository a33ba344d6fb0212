"""Real molecule tables whose barcodes were never corrected: what correction does to them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from sclineage.reads.api import match_barcodes
from sclineage.reads.whitelists import read_whitelist
from tests.oracles import barcodes as oracle


@pytest.mark.real
@pytest.mark.parametrize(("name", "records", "before"), [("Day14_CAR", 4715, 0.104), ("Infusion_CAR", 9273, 0.072)])
def test_molecules_off_the_list_are_corrected(name: str, records: int, before: float, public_data: Path) -> None:
    """CD7 CAR-T patient: the share of molecules off the list before (as its source says) and after."""
    listed = read_whitelist(public_data / "barcode-whitelists" / "737K-august-2016.txt.gz")
    with gzip.open(public_data / "cart-umi-hhv6" / "cd7" / f"{name}.quant.txt.gz", "rt") as handle:
        barcodes = [line.split()[0] for line in handle]
    got = match_barcodes(barcodes, whitelist=listed)
    off, left = (float(np.mean(x)) for x in (got["state"] != "exact", got["index"] < 0))
    print(f"{name}: {off:.2%} of {len(barcodes)} molecules off the list before, {left:.2%} after; "
          f"{got['state'].value_counts().to_dict()}")
    assert len(barcodes) == records
    assert off == pytest.approx(before, abs=0.0006)
    assert left < 0.85 * off
    words = oracle.listing([w.tobytes().decode() for w in _words(listed)])
    want = oracle.match(barcodes, None, words, policy="cellranger")
    assert got["index"].tolist() == [w[0] for w in want]


def _words(listed: object) -> np.ndarray:
    from sclineage.kernels.whitelists import decode

    return decode(listed.codes(), listed.length)  # type: ignore[attr-defined]
