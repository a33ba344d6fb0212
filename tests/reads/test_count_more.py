"""BAM, enrichment libraries, lineage barcodes, merged and shared molecules; the way into a patient's run."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from sclineage._errors import InputError
from sclineage.kernels.barcodes import pack
from sclineage.kernels.whitelists import decode
from sclineage.reads import chimeras, lineage, molecules
from sclineage.reads.api import count_targets
from sclineage.reads.merge import merge_molecules, read_molecule_table
from sclineage.reads.threshold import reads_threshold
from sclineage.simulate.reads import ReadsPlan, simulate_reads

from .libraries import GENES, LISTED, TARGETS, Made, keys, make, molecules_of, sequence


def records(path: Path) -> list[list[str]]:
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    return [lines[k : k + 4] for k in range(0, len(lines), 4)]


# --- BAM -------------------------------------------------------------------------------------------------------------
def write_bam(made: Made, path: Path, *, corrected: bool) -> Path:
    """The reads as Cell Ranger writes them: half of them reversed, some twice (secondary alignments)."""
    pysam = pytest.importorskip("pysam")
    known = set(LISTED)
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": "1", "LN": 1000}]}
    with pysam.AlignmentFile(str(path), "wb", header=header) as file:
        for k, (one, two) in enumerate(zip(*(records(made.folder / f"L1_R{m}.fastq.gz") for m in (1, 2)), strict=True)):
            row = pysam.AlignedSegment(file.header)
            row.query_name, row.flag, row.reference_id, row.reference_start = f"r{k}", 16 * (k % 2), 0, 5
            bases = two[1][::-1].translate(str.maketrans("ACGT", "TGCA")) if k % 2 else two[1]
            row.query_sequence, row.cigarstring = bases, f"{len(bases)}M"
            row.query_qualities = pysam.qualitystring_to_array(two[3])
            tags = [("CR", one[1][:16]), ("CY", one[3][:16]), ("UR", one[1][16:]), ("UY", one[3][16:])]
            if corrected and one[1][:16] in known:
                tags += [("CB", one[1][:16] + "-1"), ("UB", one[1][16:])]
            row.set_tags(tags)
            file.write(row)
            if k % 5 == 0:
                row.flag |= 0x100
                file.write(row)
    return path


def test_bam_with_raw_tags_equals_fastq(tmp_path: Path) -> None:
    made = make(tmp_path / "made", error=0.005, cells=15, droplets=30)
    count_targets(**made.arguments(), out=tmp_path / "fastq")
    bam = write_bam(made, tmp_path / "x.bam", corrected=False)
    count_targets(**made.arguments(r1=(), r2=(), bam=bam), out=tmp_path / "bam")
    for name in ("molecules.tsv.gz", "reads.csv", "sharing.csv"):
        assert (tmp_path / "fastq" / name).read_bytes() == (tmp_path / "bam" / name).read_bytes()
    with pytest.raises(InputError, match="CB and UB"):
        count_targets(**made.arguments(r1=(), r2=(), bam=bam, whitelist=None))
    bam.write_bytes(bam.read_bytes()[:5000])
    with pytest.raises(InputError, match="BAM"):
        count_targets(**made.arguments(r1=(), r2=(), bam=bam))
    with pytest.raises(InputError, match="both FASTQ files and a BAM"):
        count_targets(**made.arguments(bam=bam))


def test_bam_with_corrected_tags(tmp_path: Path) -> None:
    made = make(tmp_path / "made", error=0.0, junk=0.1, cells=15, droplets=30)
    bam = write_bam(made, tmp_path / "x.bam", corrected=True)
    count_targets(**made.arguments(r1=(), r2=(), bam=bam, whitelist=None, cells=None), out=tmp_path / "out")
    listed = made.truth.merge(molecules_of(tmp_path / "out"), on=["barcode", "umi", "feature"], how="right")
    assert len(listed) > 20 and listed["reads_x"].notna().all()
    states = pd.read_csv(tmp_path / "out" / "reads.csv").query("group == 'barcode'").set_index("state")["reads"]
    assert states["none"] > 50 and states["corrected"] == states["n"] == 0


@pytest.mark.real
def test_real_bam(public_data: Path, tmp_path: Path) -> None:
    """Mitochondrial reads of two cells: the molecules found are those of the file's own tags, and none is made up."""
    pysam = pytest.importorskip("pysam")
    bam = public_data / "bam-10x" / "nsclc_5p_chrM.bam"
    with pysam.AlignmentFile(str(bam), "rb", check_sq=False) as file:
        rows = [r for r in file.fetch(until_eof=True) if not r.flag & 0x900 and r.has_tag("CB")]
    tagged = {(r.get_tag("CB"), r.get_tag("UB") if r.has_tag("UB") else r.get_tag("UR")) for r in rows}
    found = count_targets(chemistry="10x-5p-v2", bam=bam, targets=public_data / "human-reference-small" /
                          "chrM_NC_012920.fasta")
    got = set(zip(found.uns["count"]["molecules"]["barcode"], found.uns["count"]["molecules"]["umi"], strict=True))
    print(f"{len(got)} of {len(tagged)} (CB, UB) of the BAM are molecules of chrM")
    assert found.n_obs == 2
    assert got <= tagged
    assert len(got) >= 0.95 * len({t for t in tagged if "N" not in t[1]})


# --- enrichment ------------------------------------------------------------------------------------------------------
PRIMER = TARGETS["CAR"][300:322]


@pytest.fixture(scope="module")
def amplicon(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Reads begin at the primer; deep; a chimera for every other molecule."""
    return make(tmp_path_factory.mktemp("amplicon"), targets={"CAR": TARGETS["CAR"]}, amplicon=300, chimeras=0.5,
                reads_per_molecule=40.0, targets_per_cell=6.0, molecules_per_cell=3.0, error=0.003, seed=7)


def test_enrichment(amplicon: Made, tmp_path: Path) -> None:
    given = amplicon.arguments(enriched=True, primers=[PRIMER])
    count_targets(**given, out=tmp_path / "out")
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    truth, found = keys(amplicon.truth), keys(molecules_of(tmp_path / "out"))
    deep = keys(amplicon.truth[amplicon.truth["reads"] >= record["threshold"]["reads"] + 2])
    assert 2 <= record["threshold"]["reads"] <= 15
    assert len(found - truth) <= 0.01 * len(truth)
    assert len(deep & found) >= 0.99 * len(deep)
    sharing = pd.read_csv(tmp_path / "out" / "sharing.csv").set_index("feature")
    assert sharing.loc["CAR", "in_several_cells"] > 0.5 * len(truth)
    assert sharing.loc["CAR", "pairs"] > 100 * sharing.loc["CAR", "pairs_by_chance"]
    assert record["feature_reads"]["chimera"] >= 0.4 * len(truth)
    assert record["transcript_reads"]["no_primer"] > 0
    plain = count_targets(**amplicon.arguments())
    assert len(plain.uns["count"]["molecules"]) > 1.4 * len(truth)


def test_enrichment_options(amplicon: Made) -> None:
    found = count_targets(**amplicon.arguments(enriched=True, primers=[PRIMER], least_reads=30))
    assert found.uns["count"]["molecules"]["reads"].min() >= 30
    other = count_targets(**amplicon.arguments(enriched=True, primers=[sequence(22, 99)]))
    assert other.uns["count"]["record"]["transcript_reads"]["CAR"] == 0
    for change, says in (({"primers": [PRIMER]}, "--enriched"), ({"enriched": True, "primers": ["ACGT"]}, "12 bases"),
                         ({"enriched": True, "least_reads": 0}, "at least 1")):
        with pytest.raises(InputError, match=says):
            count_targets(**amplicon.arguments(**change))


@pytest.mark.parametrize("mean", [8, 30, 200])
@pytest.mark.parametrize("errors", [0.2, 0.6])
def test_threshold_lies_in_the_valley(mean: int, errors: float) -> None:
    rng = np.random.default_rng(mean)
    true = 1 + rng.poisson(rng.gamma(6.0, mean / 6.0, 4000))
    false = rng.geometric(0.8, int(4000 * errors / (1 - errors)))
    got = reads_threshold(np.concatenate([true, false]))
    assert 2 <= got.reads <= mean / 2 + 1
    kept, let = (true >= got.reads).mean(), (false >= got.reads).mean()
    assert kept > 0.9 and let < 0.15
    assert got.error_share == pytest.approx(errors, abs=0.1)
    assert got.molecule_mean == pytest.approx(mean + 1, rel=0.15)


@pytest.mark.parametrize("reads", [np.ones(500, int), np.random.default_rng(1).geometric(0.3, 3000),
                                   1 + np.random.default_rng(2).poisson(4.0, 3000), np.full(20, 9)])
def test_without_a_valley_every_molecule_counts(reads: np.ndarray) -> None:
    assert reads_threshold(reads).reads == 1


# --- lineage barcodes ------------------------------------------------------------------------------------------------
LEFT, RIGHT = sequence(40, 21), sequence(40, 22)


@pytest.mark.parametrize("error", [0.0, 0.01])
def test_lineage_barcodes(tmp_path: Path, error: float) -> None:
    rng = np.random.default_rng(4)
    words = ["".join(rng.choice(list("ACGT"), 20)) for _ in range(6)]
    inserts = {f"L_{w}": LEFT + w[:10] + "TG" + w[10:] + RIGHT for w in words}
    folder = tmp_path / "made"
    truth = simulate_reads(ReadsPlan(inserts, GENES, cells=30, droplets=20, targets_per_cell=6.0, carriers=0.5,
                                     error=error, length=100, seed=3, junk=0.0), LISTED, folder)
    (folder / "whitelist.txt").write_text("\n".join(LISTED) + "\n")
    (folder / "targets.fasta").write_text(f">L kind=lineage\n{LEFT}{'N' * 10}TG{'N' * 10}{RIGHT}\n")
    found = count_targets(**Made(folder, truth).arguments())
    table = found.uns["count"]["molecules"].assign(barcode=lambda t: t["barcode"].str[:-2])
    barcodes = table[table["feature"].str.startswith("L_")]
    assert set(barcodes["feature"]) >= set(truth["feature"])
    if error == 0.0:
        assert keys(barcodes) == keys(truth)
    else:
        extra = barcodes[~barcodes["feature"].isin(truth["feature"])]
        assert len(extra) <= 0.02 * len(truth)
        assert len(keys(barcodes) & keys(truth)) >= 0.9 * len(truth)
    assert found.uns["count"]["record"]["transcript_reads"]["L_barcodes"] > 0


def test_collapse_of_lineage_barcodes() -> None:
    pattern = lineage.cassette("L", (LEFT + "N" * 16 + RIGHT).encode())
    assert pattern.distance == 2
    words = ["A" * 16, "A" * 15 + "C", "A" * 14 + "CC", "A" * 13 + "CCC", "G" * 16, "G" * 15 + "T"]
    support = np.array([100, 20, 10, 2, 50, 11])
    codes = pack(np.frombuffer("".join(words).encode(), np.uint8).reshape(6, 16).copy())[0]
    order = np.argsort(codes)
    got = lineage.collapse_map(codes[order], support[order], pattern)
    called = {words[o]: words[order[g]] for o, g in zip(order, got, strict=True)}
    # one step only: the fourth is three away from the first; a fifth of the molecules is the most that is swallowed
    assert called == {words[0]: words[0], words[1]: words[0], words[2]: words[0], words[3]: words[3],
                      words[4]: words[4], words[5]: words[5]}
    for text in ("ACGT" * 4 + "N" * 10 + "ACG", "ACGT" * 10, "ACGT" * 4 + "N" * 33 + "ACGT" * 4):
        with pytest.raises(InputError):
            lineage.cassette("L", text.encode())


def test_both_strands_show_a_lineage_barcode() -> None:
    pattern = lineage.cassette("L", (LEFT + "N" * 6 + "TG" + "N" * 4 + RIGHT).encode())
    read = sequence(7, 1) + LEFT + "ACCGTA" + "TG" + "GATT" + RIGHT
    back = read[::-1].translate(str.maketrans("ACGT", "TGCA"))
    wrong = read.replace("TGGATT", "AAGATT")
    texts = [read, back, read.lower(), wrong, read.replace("ACCGTA", "ACNGTA"), read[:50]]
    bases = np.frombuffer("".join(texts).encode(), np.uint8)
    offsets = np.cumsum([0, *map(len, texts)])
    rows, codes = lineage.extract(bases, offsets, pattern)
    assert rows.tolist() == [0, 1, 2]
    assert {w.tobytes().decode() for w in decode(codes, 10)} == {"ACCGTAGATT"}


# --- chimeras, hopping, merging --------------------------------------------------------------------------------------
def some_molecules(*rows: tuple[int, int, int, int]) -> molecules.Molecules:
    """(cell, feature, umi, reads) rows."""
    c, f, u, r = (np.array(x) for x in zip(*rows, strict=True))
    n = len(rows)
    return molecules.Molecules(c, f, u.astype(np.uint64), r, np.zeros(n, np.int32), np.zeros(n, bool),
                               np.ones(n, np.float32), np.zeros(n, np.uint8))


def test_chimeras() -> None:
    found = some_molecules((0, 0, 5, 90), (1, 0, 5, 10), (2, 0, 6, 1), (3, 0, 7, 5), (4, 0, 7, 5), (5, 1, 5, 9))
    assert chimeras.chimera_rows(found).tolist() == [0, 1, 3, 4]
    dropped = chimeras.drop_chimeras(found)
    assert np.flatnonzero(dropped.fate == molecules.CHIMERA).tolist() == [1, 3, 4]
    table = chimeras.chimera_table(found, ["a", "b"], 4).set_index("feature")
    assert table.loc["a"].tolist() == [5, 4, 2, pytest.approx(5 * 4 / 2 / 256), 3]
    assert table.loc["b", "pairs_by_chance"] == 0
    collisions = chimeras.collision_table(some_molecules(*((0, 0, k, 1) for k in range(30))), ["a"], 4)
    assert collisions.loc[0, "expected_collisions"] == pytest.approx(30 * 29 / 2 / 256)


def test_pairs_by_chance_are_what_chance_makes() -> None:
    rng = np.random.default_rng(0)
    n, length, seen = 2000, 8, []
    for _ in range(20):
        drawn = some_molecules(*((k, 0, int(u), 1) for k, u in enumerate(rng.integers(0, 4**length, n))))
        seen.append(chimeras.chimera_table(drawn, ["a"], length).loc[0, "pairs"])
    expected = chimeras.chimera_table(drawn, ["a"], length).loc[0, "pairs_by_chance"]
    assert np.mean(seen) == pytest.approx(expected, abs=4 * (expected / 20) ** 0.5)


def test_index_hopping() -> None:
    def table(*rows: tuple[str, str, int]) -> pd.DataFrame:
        return pd.DataFrame([(b, u, "CAR", r) for b, u, r in rows], columns=["barcode", "umi", "feature", "reads"])

    one = table(("AAAA-1", "ACGT", 95), ("AAAA-1", "CCCC", 3), ("CCCC-1", "GGTT", 4))
    two = table(("AAAA", "ACGT", 5), ("CCCC-1", "GGTT", 4), ("GGGG-1", "ACGT", 2))
    given = {n: (chimeras.molecule_keys(t), t["reads"].to_numpy()) for n, t in (("S2", two), ("S1", one))}
    assert chimeras.hopping(given).to_numpy().tolist() == [["S1", 3, 2, 1], ["S2", 3, 2, 2]]
    other = chimeras.hopping(given | {"S2": (chimeras.molecule_keys(two, "VIRUS "), given["S2"][1])})
    assert other["shared"].tolist() == [0, 0]
    with pytest.raises(InputError, match="at least two samples"):
        chimeras.hopping({"S1": given["S1"]})


def write_molecule_info(path: Path, rows: list[tuple[str, str, str, int]], *, wells: int = 1) -> Path:
    """As Cell Ranger 3 and later lay it out: molecules sorted by barcode, all genes, UMIs packed."""
    names = ["CD3D", "CAR", "WPRE"]
    barcodes = sorted({r[0] for r in rows})
    codes = pack(np.frombuffer("".join(r[1] for r in rows).encode(), np.uint8).reshape(len(rows), -1).copy())[0]
    with h5py.File(path, "w") as file:
        file.attrs["filetype"], file.attrs["file_version"] = "molecule", 6
        file["barcodes"] = np.array(barcodes, "S")
        file["barcode_idx"] = np.array([barcodes.index(r[0]) for r in rows], np.uint64)
        file["feature_idx"] = np.array([names.index(r[2]) for r in rows], np.uint32)
        file["gem_group"] = np.full(len(rows), wells, np.uint16)
        file["library_idx"] = np.zeros(len(rows), np.uint16)
        file["umi"], file["count"] = codes.astype(np.uint32), np.array([r[3] for r in rows], np.uint32)
        file["umi_type"] = np.ones(len(rows), np.uint32)
        file["features/id"] = np.array(["ENSG00000167286", "CAR", "WPRE"], "S")
        file["features/name"] = np.array(names, "S")
        file["features/feature_type"] = np.array(["Gene Expression"] * 3, "S")
        file["features/genome"] = np.array(["GRCh38"] * 3, "S")
        file["library_info"] = np.array([json.dumps([{"library_id": 0, "library_type": "Gene Expression",
                                                      "gem_group": 1}])], "S")
        file["barcode_info/pass_filter"] = np.zeros((len(barcodes), 3), np.uint64)
        file["barcode_info/genomes"] = np.array(["GRCh38"], "S")
    return path


def test_a_molecule_of_both_libraries_counts_once(amplicon: Made, tmp_path: Path) -> None:
    truth = amplicon.truth
    both, only = truth.iloc[:20], [(b, "ACGTACGTACGT", "CAR", 2) for b in truth["barcode"].iloc[:5]]
    rows = [*both.itertuples(index=False, name=None), *only, (truth["barcode"].iloc[0], "A" * 11 + "C", "CD3D", 7)]
    path = write_molecule_info(tmp_path / "molecule_info.h5", rows)
    table = read_molecule_table(path, ["CAR"], umi_length=12)
    assert len(table) == 20 + len(set(only)) or len(table) == 25
    assert set(table["feature"]) == {"CAR"} and table["barcode"].str.endswith("-1").all()
    assert keys(table.assign(barcode=table["barcode"].str[:-2])) >= keys(both)
    given: dict[str, Any] = amplicon.arguments(enriched=True, primers=[PRIMER])
    alone = count_targets(**given).uns["count"]["molecules"]
    merged = count_targets(**given, merge=path).uns["count"]["molecules"]
    new = {(b + "-1", u, f) for b, u, f, _ in rows if f == "CAR"} - keys(alone)
    assert len(merged) == len(alone) + len(new) < len(alone) + 25
    with pytest.raises(InputError, match="UMIs of more than 10 bases"):
        read_molecule_table(path, ["CAR"], umi_length=10)
    with pytest.raises(InputError, match="'GFP' is not there"):
        read_molecule_table(path, ["GFP"], umi_length=12)


def test_merge_prefers_what_is_unique() -> None:
    columns = list(molecules.COLUMNS)
    one = pd.DataFrame([["AC-1", "GG", "CAR:shared", 3, 0, 0, 0.99]], columns=columns)
    two = pd.DataFrame([["AC-1", "GG", "CAR", 2, 60, 1, 1.0], ["AC-1", "GT", "CAR", 1, 60, 0, 1.0]], columns=columns)
    merged = merge_molecules(one, two)
    assert merged.to_numpy().tolist() == [["AC-1", "GG", "CAR", 5, 60, 1, 1.0], ["AC-1", "GT", "CAR", 1, 60, 0, 1.0]]
