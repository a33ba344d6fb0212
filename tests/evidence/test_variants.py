"""Variants in clones and lineages: the model against its plain version, power before any wild type, real genotypes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.evidence.variants_data import clonetracer, got, mitoclone
from sclineage import _schema
from sclineage._errors import InputError
from sclineage.evidence import grids, prior, units, variants
from sclineage.evidence.api import variant_status
from sclineage.kernels import evidence as kernel
from sclineage.kernels.evidence import multisets
from sclineage.patient import access
from sclineage.patient.drivers import read_drivers
from tests.malignancy import builders as b
from tests.oracles import variants as oracle

SITE = "chr2:25234373:C>T"
ASSUMED = variants.ERROR


def reads(alt, depth, error=ASSUMED, own=1.0):
    alt = np.asarray(alt, np.int64)
    return variants.Reads(alt, np.broadcast_to(np.asarray(depth, np.int64), alt.shape).copy(),
                          np.full(alt.size, error), np.full(alt.size, own))


def plain_site(columns=None, eta=0.04, *, shares=True):
    columns = variants.nuclear() if columns is None else columns
    base = np.tile(prior.BASE, (len(prior.STRATA), 1)) if shares else None
    return variants.Site(columns, variants._weights(columns, np.log(columns.prior), eta), base)


def one(alt, depth, *, clonal=True, limit=0.1, columns=None, error=ASSUMED, own=1.0):
    """Call of one group."""
    site = plain_site(columns, shares=clonal)
    found = variants.assess(site, reads(alt, depth, error, own), np.zeros(len(alt), np.int64), 1)
    call, why = variants.words(found, limit=limit, clonal=clonal)
    return call[0], why[0], found


# --- model -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("cells", [[(0, 1)], [(1, 1), (0, 3)], [(2, 4), (0, 1), (0, 2), (1, 1)], [(7, 12), (0, 9)]])
@pytest.mark.parametrize("columns", [variants.nuclear(), variants.mitochondrial()], ids=["nuclear", "mitochondrial"])
@pytest.mark.parametrize(("error", "own"), [(ASSUMED, 1.0), (0.12, 0.7)])
def test_evidence_is_that_of_the_plain_model(cells, columns, error, own):
    site = plain_site(columns)
    made = reads([k for k, _ in cells], [n for _, n in cells], error, own)
    distinct, at = variants._keys(made)
    sets = multisets(np.zeros(len(cells), np.int64), at, n_clones=1)
    table = kernel.mixture_table(variants.log_likelihoods(distinct, columns), grids.W)
    found = units.evaluate(sets, table, [site.weights], np.zeros(1, np.int64))
    want = oracle.clone(cells, error, own, columns, site.weights, grids.background_nodes(variants.ERROR_SPREAD),
                        grids.log_background_weights(), grids.W)
    assert found.log[0] == pytest.approx(want, abs=1e-8)


def test_dropout_is_learnt_from_clones():
    """Clones whose cells show one allele or the other, never both, teach dropout; balanced ones teach its absence."""
    rng = np.random.default_rng(5)
    code, columns = np.repeat(np.arange(30), 12), variants.nuclear()
    depth = np.full(code.size, 6)
    alone = np.where(rng.random(code.size) < 0.5, 6, 0)
    both = rng.binomial(6, 0.5, code.size)
    weight = {}
    for name, alt in (("alone", alone), ("both", both)):
        site = variants.fit_site(reads(alt, depth), code, 30, columns, eta=0.04)
        weight[name] = float(np.exp(site.weights.log_m)[columns.dropout >= 0.5].sum())
    assert weight["alone"] > 0.9
    assert weight["both"] < 0.2


# --- wild type needs power -------------------------------------------------------------------------------------------
def test_nothing_read_is_not_assessable():
    call, why, found = one([], [])
    assert (call, why) == ("not_assessable", "no_reads")
    assert found.power[0] == 0


def test_two_reads_of_one_cell_among_several_are_no_mutant_group():
    assert one([2, 0], [2, 1], clonal=False)[0] == "not_assessable"


@pytest.mark.parametrize("n", [1, 3, 9])
def test_nine_silent_cells_are_no_wild_type(n):
    """Nine single reads without the variant: a mutation whose transcript decays would often look the same."""
    call, why, _ = one([0] * n, 1)
    assert (call, why) == ("not_assessable", "too_few_reads")


def test_many_silent_cells_are_wild_type_with_a_limit():
    call, _, found = one([0] * 40, 1)
    assert call == "wild_type"
    assert found.power[0] >= 0.8
    assert 0.02 < found.high[0] < 0.5


def test_wild_type_is_never_said_without_power():
    rng = np.random.default_rng(0)
    for _ in range(40):
        n = int(rng.integers(1, 30))
        call, _, found = one([0] * n, rng.integers(1, 4, n))
        if call == "wild_type":
            assert found.power[0] >= variants.POWER
            assert found.log10_strict[0] <= -variants.DECADES


def test_thinned_reads_weaken_the_call_and_never_turn_it():
    """Fewer of the same reads of a mutant clone: mutant or not assessable, never wild type."""
    rng = np.random.default_rng(3)
    alt, depth = rng.binomial(2, 0.35, 60), np.full(60, 2)
    said = {one(alt[:n], depth[:n])[0] for n in (60, 30, 15, 8, 4, 2, 1)}
    assert "mutant" in said
    assert "wild_type" not in said


def test_a_heterozygous_clone_is_almost_never_wild_type():
    """200 clones of 15 to 60 cells, half of their reads hidden by decay of the mutant transcript."""
    rng = np.random.default_rng(11)
    sizes = rng.integers(15, 60, 200)
    dropout, shown = rng.random(sizes.sum()) < 0.5, rng.random(sizes.sum()) < 0.25
    alt = rng.binomial(1, np.where(dropout, np.where(shown, 0.995, 0.005), 0.25))
    found = variants.assess(plain_site(), reads(alt, 1), np.repeat(np.arange(200), sizes), 200)
    said = variants.words(found, limit=0.1, clonal=True)[0]
    assert (said == "wild_type").sum() == 0
    assert (said == "mutant").sum() > 100


def test_one_alternative_read_is_no_mutant():
    assert one([1], 1)[0] == "not_assessable"
    assert one([1] + [0] * 30, 1)[0] != "mutant"
    assert one([1, 1, 0], 1)[0] == "mutant"


def test_a_lineage_is_wild_type_only_below_the_share():
    """Thirty silent cells exclude a clone's shared mutation, not one in a tenth of a lineage's cells."""
    assert one([0] * 30, 1)[0] == "wild_type"
    assert one([0] * 30, 1, clonal=False)[:2] == ("not_assessable", "too_few_reads")
    assert one([0] * 300, 1, clonal=False)[0] == "wild_type"


def test_low_heteroplasmy_keeps_a_mitochondrial_wild_type_away():
    columns = variants.mitochondrial()
    assert one([0] * 6, 3, columns=columns)[0] == "not_assessable"
    assert one([0] * 30, 50, columns=columns)[0] == "wild_type"
    assert one([5, 9, 0, 20], 50, columns=columns)[0] == "mutant"


def test_error_is_measured_where_negatives_are_declared():
    alt = np.zeros(200, np.int64)
    alt[:8] = 1  # 4 % of the negatives' reads: an editing site
    assert variants.measured_error(alt, np.ones(200, np.int64)) == pytest.approx(8.5 / 201)
    assert variants.measured_error(alt[:50], np.ones(50, np.int64)) is None


# --- soup ------------------------------------------------------------------------------------------------------------
def test_own_share_falls_with_the_reads_of_a_group():
    """A library of four reads per cell drops 0.2 into each; cells that show 0.2 show nothing of their own."""
    soup = variants.sample_soup(np.full(1000, 2), np.full(1000, 4), 1000)
    assert soup == pytest.approx((0.2, 0.5))
    own = variants.own_share(soup, np.array([4000.0, 200.0, 100.0]), np.array([1000, 1000, 1000]))
    assert own == pytest.approx([0.95, 0.02, 0.0], abs=0.02)


def test_reads_that_are_all_soup_say_nothing_in_either_direction():
    """Half of the soup's reads mutant, or none of them: a lineage without the gene is neither mutant nor wild type."""
    rng = np.random.default_rng(0)
    assert one(rng.binomial(1, 0.5, 60), 1, error=0.45, own=0.0, clonal=False)[0] == "not_assessable"
    assert one([0] * 400, 1, own=0.0, clonal=False)[0] == "not_assessable"
    assert one([0] * 400, 1, own=0.02)[0] == "not_assessable"


# --- MuData ----------------------------------------------------------------------------------------------------------
def patient(sites, *, seed=0, coverage=0.6, extra=()):
    obs = pd.concat([b.cell_rows("S", "big", 120), b.cell_rows("S", "", 150, subset="myeloid"),
                     b.cell_rows("S", "", 150, subset="B", start=200), b.small_clones("S", 40, 2), *extra])
    rng = np.random.default_rng(seed)
    return b.patient(obs, panel=b.alleles(obs.reset_index(drop=True), rng, sites, coverage=coverage))


def table(data):
    return access.table(data, "variants").set_index(["group", "name", "site"])


def test_table_of_a_private_mutation():
    data = patient({SITE: {"big": 0.45}})
    variant_status(data)
    said = table(data)
    assert said.loc[("clone", "big", SITE), "variant_call"] == "mutant"
    assert said.loc[("lineage", "myeloid", SITE), "variant_call"] in ("wild_type", "not_assessable")
    assert said.loc[("clone", "big", SITE), "flags"] == ""
    assert access.table(data, "variants").columns.tolist() == [c.name for c in _schema.VARIANTS]


def test_clonal_haematopoiesis_shows_across_lineages():
    data = patient({SITE: {"big": 0.45, "myeloid": 0.4}})
    variant_status(data)
    said = table(data)
    assert said.loc[("lineage", "myeloid", SITE), "variant_call"] == "mutant"
    assert said.loc[("clone", "big", SITE), "flags"] == "also_in=myeloid"


def test_an_inherited_variant_is_named():
    data = patient({SITE: {"*": 0.5}}, coverage=3.0)
    variant_status(data)
    assert table(data).loc[("clone", "big", SITE), "flags"] == "inherited_like"


def test_a_clone_without_a_read_is_not_wild_type_and_a_small_one_has_no_row():
    data = patient({SITE: {"big": 0.45}}, coverage=0.0)
    variant_status(data)
    said = table(data).loc["clone"]
    assert said.index.get_level_values("name").tolist() == ["big"]
    assert said["variant_reason"].tolist() == ["no_reads"]
    assert said["p_wild_type"].isna().all()


def test_cells_needed_grow_as_coverage_falls():
    need = []
    for coverage in (0.3, 0.03):
        data = patient({SITE: {}}, coverage=coverage, extra=[b.cell_rows("S", "some", 12)])
        variant_status(data)
        need.append(table(data).loc[("clone", "some", SITE), "cells_needed"])
    assert need[1] > 4 * need[0] > 40


def test_rows_do_not_depend_on_the_order_of_cells_and_seeds_repeat():
    data = patient({SITE: {"big": 0.2}, "chrM:2593:G>A": {"big": 0.3}})
    turned = data[np.random.default_rng(1).permutation(data.n_obs)].copy()
    for d in (data, turned):
        variant_status(d, rng=4)
    pd.testing.assert_frame_equal(access.table(data, "variants"), access.table(turned, "variants"))
    kinds = access.table(data, "variants").groupby("site")["kind"].first().to_dict()
    assert kinds == {SITE: "nuclear", "chrM:2593:G>A": "mitochondrial"}


def test_bad_input_is_one_line():
    data = patient({SITE: {"big": 0.45}})
    with pytest.raises(InputError, match="none of its 1 sites is among"):
        variant_status(data, sites=pd.DataFrame({"site": ["chr1:5:A>G"]}))
    with pytest.raises(InputError, match="no allele counts"):
        variant_status(b.patient(b.cell_rows("S", "big", 5)))
    with pytest.raises(InputError, match="no column 'nothing'"):
        variant_status(data, lineage_key="nothing")
    with pytest.raises(InputError, match="is no such share"):
        variant_status(data, fraction_limit=1.5)
    data.mod["alleles"].layers["dp"] = data.mod["alleles"].layers["dp"] * 0
    with pytest.raises(InputError, match="more alternative reads than reads"):
        variant_status(data)


def test_sites_are_found_with_and_without_chr():
    data = patient({SITE: {"big": 0.45}})
    variant_status(data, sites=read_drivers(pd.DataFrame({"site": ["2:25234373:C>T"], "gene": ["DNMT3A"]})))
    assert set(access.table(data, "variants")["gene"]) == {"DNMT3A"}


def test_a_listed_site_that_was_not_counted_is_not_assessable():
    data = patient({SITE: {"big": 0.45}})
    variant_status(data, sites=pd.DataFrame({"site": [SITE, "chr4:106196213:C>T"], "gene": ["DNMT3A", "TET2"]}))
    rows = access.table(data, "variants")
    silent = rows[rows["gene"] == "TET2"]
    assert len(silent) > 0
    assert set(silent["variant_call"]) == {"not_assessable"}
    assert set(silent["variant_reason"]) == {"no_reads"}
    assert (silent["n_informative"] == 0).all() and silent["p_mutant"].isna().all()
    assert "mutant" in set(rows.loc[rows["gene"] == "DNMT3A", "variant_call"])


# --- real genotypes --------------------------------------------------------------------------------------------------
def test_dnmt3a_of_145_in_1066_cells(public_data):
    """Forty of 145 covered cells show it; the other 921 cells say nothing, and no group is wild type by silence."""
    data = mitoclone(public_data)
    nuclear = data["alleles"].var.query("chrom != 'MT'")
    variant_status(data, sites=nuclear)
    said = table(data).loc[("population", "all", "DNMT3A:1:R>V")]
    assert (said["n_cells"], said["n_informative"], said["n_alt_cells"]) == (1066, 145, 40)
    assert said["variant_call"] == "mutant"
    wild = access.table(data, "variants").query("variant_call == 'wild_type'")
    assert (wild["power"] >= 0.8).all()
    assert (wild["fraction_high"] <= 0.1).all()


def test_soup_of_a_leukaemia_does_not_make_t_cells_mutant(public_data):
    """RNF130: T cells hold 0.12 reads each, myeloid cells 3.1; in bulk none of 48 reads of T cells shows it."""
    data = clonetracer(public_data)
    variant_status(data)
    said = table(data).loc["population"].droplevel("site")
    assert said.loc["myeloid", "variant_call"] == "mutant"
    assert (said.loc["Tcells", "n_cells"], said.loc["Tcells", "n_informative"]) == (818, 69)
    assert said.loc["Tcells", "variant_call"] == "not_assessable"


def test_tet2_and_asxl1_over_lineages(public_data):
    data = got(public_data)
    variant_status(data)
    said = access.table(data, "variants")
    assert set(said["gene"]) == {"ASXL1", "TET2"}
    silent = said[said["n_informative"] == 0]
    assert len(silent) > 0
    assert (silent["variant_call"] == "not_assessable").all()
    wild = said[said["variant_call"] == "wild_type"]
    assert (wild["power"] >= 0.8).all()
