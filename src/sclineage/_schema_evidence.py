"""Registered columns and words of variants, vector DNA and CAR protein; part of `_schema`."""

from __future__ import annotations

from ._columns import CLONE as _CLONE
from ._columns import KEY as _KEY
from ._columns import column as _c

DNA_CALLS = ("present", "not_detected", "not_decided")
DNA_REASONS = ("purity_unknown", "too_few_copies_counted", "copies_in_other_cells_possible", "no_copy_number",
               "malignant_clone_unknown")
VARIANT_CALLS = ("mutant", "wild_type", "not_assessable")
VARIANT_REASONS = ("no_reads", "too_few_reads", "ambiguous")
VARIANT_GROUPS = ("clone", "lineage", "population")
PROTEIN_CALLS = ("present", "not_detected", "not_decided")

CAR_DNA = [
    *_CLONE,
    _c("specimen", "str", "specimen of the sheet"),
    _c("vcn_target", "int", "vector copies counted (ddPCR)"),
    _c("vcn_reference", "int", "copies of the reference gene counted"),
    _c("purity", "float", "share of tumour cells, as given"),
    _c("copies_per_cell", "float", "vector copies per cell"),
    _c("copies_low", "float", "lower end of its exact 95 % interval"),
    _c("copies_high", "float", "upper end"),
    _c("tumor_copies_low", "float", "copies per tumour cell if every other cell had three"),
    _c("tumor_copies_high", "float", "copies per tumour cell if no other cell had any"),
    _c("dna_call", "str", "present: more than 0.5 at the lower bound; not_detected: below 0.1 at the upper", DNA_CALLS),
    _c("dna_reason", "str", "why not decided", DNA_REASONS),
    _c("purity_needed", "float", "least purity at which these counts would be a negative; above 1 at none"),
    _c("reference_needed", "float", "reference copies to count so that no vector copy would be a negative"),
    _c("power_not_detected", "float", "P(not_detected | no vector; counts and purity as here)"),
    _c("power_present", "float", "P(present | one copy per tumour cell and none elsewhere)"),
    _c("log_ratio", "float", "log-likelihood ratio (nats), vector in every tumour cell against none"),
    _c("n_sites", "int", "integration sites; missing where none were read"),
    _c("site", "str", "the site with most reads, chrom:pos"),
    _c("site_gene", "str", "its gene, where given"),
    _c("site_reads", "int", "its reads or fragments"),
    _c("site_share", "float", "its share of all"),
    _c("site_share_low", "float", "lower end of the exact 95 % interval of the share"),
    _c("site_share_high", "float", "upper end"),
    _c("flags", "str", "';'-separated: one_site_dominates, specimen_without_cells, several_malignant_clones"),
]
CAR_PROTEIN = [
    *_CLONE,
    _c("n_informative", "int", "T cells of libraries whose antibody background and signal are plainly apart"),
    _c("n_positive", "int", "of these, cells with the protein (probability >= 0.95)"),
    _c("n_doubtful", "int", "cells with a probability between 0.05 and 0.95"),
    _c("positive_by_chance", "float", "positive cells expected of a clone without the CAR: doublets and overlap"),
    _c("share_low", "float", "lower end of the 95 % interval of the share of positive members, doubtful ones negative"),
    _c("share_high", "float", "upper end, doubtful ones positive"),
    _c("n_control", "int", "positive cells of other clones in the same libraries"),
    _c("protein_call", "str", "CAR protein on members, by antibody alone; not a statement on RNA", PROTEIN_CALLS),
    _c("flags", "str", "';'-separated: background_not_resolved, rna_protein_conflict"),
]
VARIANTS = [
    *_KEY,
    _c("group", "str", "what the cells are grouped by", VARIANT_GROUPS),
    _c("name", "str", "clone id, cell type or population"),
    _c("site", "str", "chrom:pos:ref>alt, position 1-based"),
    _c("gene", "str", "gene, where given"),
    _c("kind", "str", "nuclear: alleles drop out; mitochondrial: heteroplasmy", ("nuclear", "mitochondrial")),
    _c("n_cells", "int", "cells of the group, doublets and excluded cells not counted"),
    _c("n_informative", "int", "of these, cells with a read at the site"),
    _c("n_reads", "int", "reads (or UMIs) at the site"),
    _c("n_alt_cells", "int", "cells with a read of the variant"),
    _c("n_alt_reads", "int", "reads of the variant"),
    _c("alt_reads_expected", "float", "reads of the variant expected from error and soup"),
    _c("variant_call", "str", "mutant members; none, in reads that would have shown them; or not known", VARIANT_CALLS),
    _c("variant_reason", "str", "why not assessable", VARIANT_REASONS),
    _c("p_wild_type", "float", "posterior: no member is mutant"),
    _c("p_mutant", "float", "posterior: some or all members are"),
    _c("log10_bf", "float", "log10 Bayes factor, mutation against none"),
    _c("fraction", "float", "posterior mean of the share of mutant members"),
    _c("fraction_low", "float", "lower end of its 95 % interval"),
    _c("fraction_high", "float", "upper end; of a wild-type group the share that is not excluded"),
    _c("power", "float", "P(called mutant | all members heterozygous, these reads)"),
    _c("cells_needed", "float", "cells of the group, covered as here, from which wild type could be said"),
    _c("flags", "str", "';'-separated: one_cell, also_in=LINEAGE (cells that are no T cells), inherited_like"),
]
