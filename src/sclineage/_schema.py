"""Every column that is written, once: name, dtype, meaning. And every word that a verdict may use, once.

Tables are checked against this file when they are written (`conform`), so an unregistered column cannot leave the
package. ``int`` columns may be missing (pandas ``Int64``); text is missing as the empty string in CSV.
"""

from __future__ import annotations

import gzip
import io
import os

import numpy as np
import pandas as pd

from ._columns import CLONE as _CLONE
from ._columns import KEY as _KEY
from ._columns import Column as Column
from ._columns import column as _c
from ._provenance import whole
from ._schema_evidence import CAR_DNA as CAR_DNA
from ._schema_evidence import CAR_PROTEIN as CAR_PROTEIN
from ._schema_evidence import DNA_CALLS as DNA_CALLS
from ._schema_evidence import DNA_REASONS as DNA_REASONS
from ._schema_evidence import PROTEIN_CALLS as PROTEIN_CALLS
from ._schema_evidence import VARIANT_CALLS as VARIANT_CALLS
from ._schema_evidence import VARIANT_GROUPS as VARIANT_GROUPS
from ._schema_evidence import VARIANT_REASONS as VARIANT_REASONS
from ._schema_evidence import VARIANTS as VARIANTS

# --- words -----------------------------------------------------------------------------------------------------------
CAR_VERDICTS = ("CAR_positive", "CAR_mixed", "CAR_present", "no_clonal_CAR_expression",
                "CAR_transcript_not_detected", "CAR_DNA_not_detected", "indeterminate")
CAR_CARRYING = CAR_VERDICTS[:3]
CAR_NEGATIVE = CAR_VERDICTS[3:6]
CAR_REASONS = ("too_few_cells", "no_control", "control_silent", "background_not_identified",
               "segment_not_seen_by_chemistry", "doublets", "rna_dna_conflict", "counts_not_car_unique",
               "not_assessed")
CAR_CALLS = ("pos", "unlikely", "uncertain")
MALIGNANT_CALLS = ("malignant", "suspicious", "no_malignant_features", "not_assessable")
MALIGNANT_BASIS = ("genetic", "pathology", "user")
CLONE_STATUSES = ("assigned", "attached_dropout", "ambiguous", "doublet", "ambient_cleaned", "multichain",
                  "no_receptor")
ANSWERS = ("yes", "no", "not_assessed")
PREDATES = ("yes", "not_detected", "not_sampled")
POPULATIONS = ("malignant", "CAR-T", "other_T", "other", "doublet", "not_assessed")
EBV_PROGRAMMES = ("latency_I", "latency_II", "latency_III", "lytic")
CLONE_POPULATIONS = ("all", "malignant", "other")
SELECTIONS = ("none", "CAR+", "CAR-", "unknown")  # any other text is a free gate, kept as given
DIAGNOSES = ("T_lymphoma_proven", "suspected", "surveillance", "none")
ROLES = ("car_positive_control", "car_negative_control", "cnv_reference")
CAR_COUNTING = ("unique", "whole_cds", "unknown")

SHEET_COLUMNS = ("patient", "sample", "specimen", "gem_well", "pool", "day", "material", "diagnosis", "role",
                 "selection", "car_fraction", "car_fraction_n", "chemistry", "car_counting", "car", "gex", "gex_obs",
                 "cells", "raw", "vdj", "vdj_all", "molecules", "alleles", "bulk_tcr", "vcn_target", "vcn_reference",
                 "purity")

ASSAYED = "sclineage"  # the key of `uns` that holds everything we store


_CAR_STATEMENT = [
    _c("car_verdict", "str", "what the data say of the CAR in this clone", CAR_VERDICTS),
    _c("car_reason", "str", "why indeterminate; empty for definite verdicts", CAR_REASONS),
]

# --- per cell: obs columns and cells.csv.gz --------------------------------------------------------------------------
CELLS = [
    *_KEY,
    _c("sample", "str", "sample id of the sheet"),
    _c("barcode", "str", "cell barcode as the matrix spells it"),
    _c("specimen", "str", "specimen of the sheet (default: the sample)"),
    _c("clone_id", "str", "clone of the cell; empty without one"),
    _c("clone_posterior", "float", "probability of the clone given; missing without a receptor"),
    _c("clone_status", "str", "how the clone was assigned", CLONE_STATUSES),
    _c("clone_id_2", "str", "second clone of a doublet, runner-up of an ambiguous cell"),
    _c("malignant_p", "float", "probability that the cell belongs to a malignant clone"),
    _c("malignant_call", "str", "call of the cell's clone", MALIGNANT_CALLS),
    _c("genetic_clone", "str", "malignant clone whose altered arms a cell without a receptor shows; empty without one"),
    _c("genetic_llr", "float", "log-likelihood ratio (nats) of such arms in the cell; missing where not scored"),
    _c("car_umi", "int", "UMIs of the CAR features (union); missing where the CAR was not assessed"),
    _c("car_bg_expected", "float", "CAR UMIs expected from background at this depth"),
    _c("car_p", "float", "probability that the cell carries an expressed CAR, clone included"),
    _c("car_p_cell_only", "float", "the same from this cell's counts alone"),
    _c("car_call", "str", "pos at car_p >= 0.95, unlikely at <= 0.05, else uncertain", CAR_CALLS),
    _c("car_product", "str", "construct of a carrying cell where several were given, or unresolved"),
    _c("population", "str", "population of the cell", POPULATIONS),
    _c("n_umi", "int", "gene-expression UMIs without CAR and viral features; missing without a matrix"),
    _c("n_genes", "int", "genes with at least one UMI"),
    _c("mito_share", "float", "share of UMIs from mitochondrial genes"),
    _c("doublet_score", "float", "scanpy scrublet score of the sample; missing when it could not be computed"),
    _c("subset", "str", "light annotation from marker genes: CD4_T, CD8_T, T, NK, B, myeloid, other"),
    _c("subset_state", "str", "light annotation beside the subset: cycling, regulatory, or empty"),
    _c("cluster", "str", "Leiden cluster"),
    _c("cluster_stability", "float", "pairs of cells of the cluster that other seeds keep together, too; 0 to 1"),
    _c("excluded_reason", "str", "why the cell does not count in clone statistics; empty when it counts"),
]

# --- per clone -------------------------------------------------------------------------------------------------------
RECEPTORS = [
    *_CLONE,
    _c("trb_junction", "str", "anchor TRB junction, nucleotides, C to F/W codons"),
    _c("trb_junction_aa", "str", "anchor TRB junction, amino acids"),
    _c("trb_v", "str", "TRB V gene"),
    _c("trb_j", "str", "TRB J gene"),
    _c("tra_junction", "str", "best-supported TRA junction, nucleotides; ';' between two"),
    _c("tra_v", "str", "TRA V gene(s)"),
    _c("tra_j", "str", "TRA J gene(s)"),
    _c("trb_c", "str", "C gene of the TRB contigs (TRBC1 or TRBC2), by majority"),
    _c("n_cells", "int", "cells assigned to the clone, all samples, doublets not counted"),
    _c("n_paired", "int", "of these, cells in which TRA and TRB were seen"),
]
MALIGNANCY = [
    *_CLONE,
    _c("malignant_p", "float", "posterior probability of malignancy"),
    _c("malignant_p_no_pathology", "float", "the same with the surveillance prior, as if no diagnosis were known"),
    _c("malignant_call", "str", "call", MALIGNANT_CALLS),
    _c("malignant_driver", "str", "line of evidence whose removal lowers the posterior most"),
    _c("malignant_basis", "str", "what the call rests on", MALIGNANT_BASIS),
    _c("malignant_prior", "float", "prior probability used"),
    _c("llr_dominance", "float", "log-likelihood ratio (nats) of clone size; capped, never enough alone"),
    _c("llr_phenotype", "float", "the same for loss or gain of T-cell markers against the matched background"),
    _c("llr_cycling", "float", "the same for S/G2M cells against the matched background"),
    _c("llr_virus", "float", "the same for viral transcripts"),
    _c("llr_driver", "float", "the same for private driver mutations"),
    _c("llr_copy_number", "float", "the same for chromosome arms lost or gained, from expression"),
    _c("llr_classifier", "float", "the same for the user's own classifier of cells; capped, never genetic"),
    _c("malignant_power", "float", "P(a genetic line would show | the clone were malignant)"),
    _c("malignant_sentence", "str", "the call in one sentence"),
]
CLONE_ARMS = [
    *_CLONE,
    _c("arm", "str", "chromosome arm, such as 7q"),
    _c("shift", "float", "log of the clone's counts over those expected of it, median of its arms 0"),
    _c("error", "float", "standard error of the shift: counting, and what benign clones differ by"),
    _c("called", "int", "-1 lost, 1 gained (more than 4 standard errors), 0 neither"),
    _c("n_cells", "int", "cells of the clone with a matched reference"),
]
_CAR_NUMBERS = [
    _c("car_evidence", "str", "what the CAR verdict rests on: RNA, DNA, RNA+DNA, or empty"),
    _c("car_p_negative", "float", "posterior: no cell carries an expressed CAR; of all cells behind the verdict"),
    _c("car_p_positive", "float", "posterior: all of these cells carry it"),
    _c("car_p_mixed", "float", "posterior: some of them carry it, others do not"),
    _c("car_log10_bf", "float", "log10 Bayes factor, CAR against none; > 0 favours the CAR; sorted members included"),
    _c("car_fraction", "float", "posterior mean of the share of members that carry it"),
    _c("car_fraction_low", "float", "lower end of the 95 % interval of that share"),
    _c("car_fraction_high", "float", "upper end of the 95 % interval of that share"),
    _c("car_power", "float", "P(no_clonal_CAR_expression or stronger | a CAR-free clone of this size and depth)"),
    _c("car_theta_excluded", "float", "smallest excluded expression as a share of the control's"),
    _c("car_cells_needed", "float", "informative cells without the CAR from which a clonal CAR could be excluded"),
]
CAR_CLONES = [*_CLONE, *_CAR_STATEMENT, *_CAR_NUMBERS,
              _c("car_p_silent", "float", "posterior: members hold a CAR that they do not express; never in a verdict"),
              _c("car_dna", "str", "vector DNA of the clone's specimens", DNA_CALLS),
              _c("car_product", "str", "construct carried where several were given, or unresolved"),
              _c("car_n_informative", "int", "cells behind the verdict"),
              _c("car_n_with_car", "int", "of these, cells with at least one CAR UMI"),
              _c("car_flags", "str", "';'-separated flags of the CAR verdict, such as minor")]
CLONE_CAR = [
    *_CLONE,
    _c("specimen", "str", "specimen of the sheet"),
    _c("selection", "str", "how the cells were sorted"),
    _c("population", "str", "which members", CLONE_POPULATIONS),
    _c("n_informative", "int", "cells counted"),
    _c("n_with_car", "int", "cells with at least one CAR UMI"),
    _c("umi", "int", "CAR UMIs"),
    _c("expected_if_negative", "float", "CAR UMIs expected from background and doublets"),
    _c("expected_if_positive", "float", "CAR UMIs expected if all members carried it"),
    *_CAR_STATEMENT, *_CAR_NUMBERS,
]
CAR_SCENARIOS = ("fitted", "sensitivity_halved", "background_x10", "doublets_x2")
CAR_WHAT_IF = [
    *_CLONE,
    _c("scenario", "str", "what is changed after the fit", CAR_SCENARIOS),
    *_CAR_STATEMENT[:1],
    *[c for c in _CAR_NUMBERS if c.name in {"car_p_negative", "car_p_positive", "car_p_mixed", "car_log10_bf"}],
]
TIMELINE = [
    *_CLONE,
    _c("sample", "str", "sample, or the specimen where samples share one"),
    _c("day", "float", "days from the infusion"),
    _c("n_clone", "int", "cells of the clone"),
    _c("n_informative", "int", "non-doublet cells with a usable TRB"),
    _c("frequency", "float", "n_clone / n_informative"),
    _c("low", "float", "lower end of the two-sided 95 % Clopper-Pearson interval"),
    _c("high", "float", "upper end"),
    _c("limit_of_detection", "float", "1 - 0.05^(1/n): frequency excluded when no cell is seen"),
    _c("flags", "str", "selected (sorted cells: a share of the sort, not of the body), no_informative_cells"),
]
ORIGIN = [
    *_CLONE,
    _c("first_day", "float", "day of the earliest sample with the clone"),
    _c("predates_infusion", "str", "seen before the infusion; absence never proves younger", PREDATES),
    _c("predates_limit", "float", "frequency above which the pre-infusion samples exclude it; missing if sampled none"),
    _c("predates_reason", "str", "why not yes although cells were seen before the infusion"),
]
CLONES = [
    *RECEPTORS,
    *[c for c in MALIGNANCY if c.name not in {"patient", "clone_id"}],
    *[c for c in CAR_CLONES if c.name not in {"patient", "clone_id"}],
    *[c for c in ORIGIN if c.name not in {"patient", "clone_id"}],
    _c("flags", "str", "';'-separated flags of the clone"),
]

# --- per sample, per pair, per virus ---------------------------------------------------------------------------------
SAMPLES = [
    *_KEY,
    _c("sample", "str", "sample id of the sheet"),
    _c("specimen", "str", "specimen"), _c("day", "float", "days from the infusion"),
    _c("material", "str", "material"), _c("selection", "str", "how the cells were sorted"),
    _c("n_cells", "int", "cells"),
    _c("n_with_receptor", "int", "cells with a productive TRB or TRA"),
    _c("median_umi", "float", "median UMIs per cell; missing without a matrix"),
    _c("car_umi_total", "int", "CAR UMIs in cells; missing where not assessed"),
    _c("car_background_per_cell", "float", "expected CAR UMIs per cell of median depth from background"),
    _c("car_background_source", "str", "empties, negative_control, or prior"),
    _c("car_p_background", "float", "P(all CAR UMIs of this library are background); missing when not compared"),
    _c("car_sensitivity", "float", "share of true CAR+ cells of median depth expected to show >= 1 CAR UMI"),
    _c("car_sensitivity_source", "str", "same_library, paired, other_day, empirical_bayes, or prior"),
    _c("car_doublet_share", "float", "fitted share of cells with a foreign CAR+ partner (eta)"),
    _c("receptor_capture_trb", "float", "share of T cells whose TRB was captured, estimated"),
    _c("flags", "str", "';'-separated flags"),
]
DISTINCT = [
    *_KEY,
    _c("population_a", "str", "first population"), _c("population_b", "str", "second population"),
    _c("level", "str", "deepest ancestor level, D0 to D6, reached with probability 0.95; empty when none is"),
    _c("p_level", "float", "posterior of that level or a deeper one (of D0: its own)"),
    _c("same_t_cell", "str", "yes, no, not_assessed", ANSWERS),
    _c("shared_ancestor", "str", "blood stem cell or deeper: yes, no, not_assessed", ANSWERS),
    _c("vector_in_a", "str", "whether the first population carries the vector: yes, not_detected, not_assessed",
       ("yes", "not_detected", "not_assessed")),
    _c("line", "str", "line of evidence, or all"),
    _c("llr", "float", "log-likelihood ratio (nats), > 0 shared"),
    _c("n_informative_a", "int", "informative cells or reads in a"),
    _c("n_informative_b", "int", "informative cells or reads in b"),
    *[_c(f"p_d{i}", "float", f"posterior of level D{i} (row all)") for i in range(7)],
    _c("flags", "str", "';'-separated flags"),
]
COMPARE = [
    *_KEY,
    _c("population_a", "str", "first population"), _c("population_b", "str", "second population"),
    _c("sample", "str", "sample, or the specimen where samples share one"),
    _c("day", "float", "days from the infusion"),
    _c("modality", "str", "gex: genes; adt: antibodies", ("gex", "adt")),
    _c("gene", "str", "gene or antibody"),
    _c("profile_a", "float", "pseudobulk of a, log2(counts per million + 1)"), _c("profile_b", "float", "that of b"),
    _c("share_a", "float", "share of the cells of a with a count"), _c("share_b", "float", "that of b"),
    _c("log2_fold", "float", "log2 fold change, a over b (scanpy)"),
    _c("p_adjusted", "float", "Wilcoxon rank sum, Benjamini-Hochberg; cells as replicates"),
    _c("change", "str", "lost or gained in a: at least twofold, adjusted p below 0.05", ("lost", "gained")),
    _c("marker", "bool", "T-cell marker, listed whatever its p"),
    _c("n_a", "int", "cells of a"), _c("n_b", "int", "cells of b"),
]
VIRUS = [
    *_KEY,
    _c("population", "str", "population", (*POPULATIONS, "all")),
    _c("sample", "str", "sample"), _c("virus", "str", "name given on the command line"),
    _c("n_cells", "int", "cells"), _c("n_positive", "int", "cells above ambient with two loci or more in the library"),
    _c("umi", "int", "viral UMIs"), _c("rate", "float", "viral UMIs per cell"),
    _c("low", "float", "lower end of the 95 % interval of the rate"), _c("high", "float", "upper end"),
    _c("ratio_to_ambient", "float", "rate over the ambient expectation"),
    _c("n_loci", "int", "viral features with at least one UMI in the population"),
    _c("programme", "str", "least programme of EBV that explains its genes seen above ambient; a higher is never "
       "excluded", EBV_PROGRAMMES),
    _c("genes", "str", "the genes that show it, '+'-separated"),
    _c("compared_with", "str", "population of the same sample that the rate is compared with", POPULATIONS),
    _c("rate_ratio", "float", "rate over that population's"),
    _c("ratio_low", "float", "lower end of its 95 % interval, widened where cells differ more than by chance"),
    _c("ratio_high", "float", "upper end"),
    _c("flags", "str", "';'-separated flags"),
]
# --- counting ---------------------------------------------------------------------------------------------------------
READS = [
    _c("group", "str", "what the reads are split by", ("barcode", "transcript", "molecule")),
    _c("state", "str", "barcode: state of the barcode; transcript: feature, endogenous, nothing or no_primer; "
       "molecule: what became of the reads of features"),
    _c("reads", "int", "reads; the states of barcode and of transcript add up to all reads, those of molecule to the "
       "reads of features"),
    _c("share", "float", "share of the reads of the group"),
]
SHARING = [
    _c("feature", "str", "feature of the targets"),
    _c("molecules", "int", "molecules of all barcodes before chimeras are dropped"),
    _c("in_several_cells", "int", "of these, molecules whose UMI another barcode has for the same feature"),
    _c("pairs", "int", "pairs of barcodes with one UMI of the feature"),
    _c("pairs_by_chance", "float", "such pairs expected by chance: n (n - 1) / (2 * 4^L)"),
    _c("minor", "int", "molecules with less than 0.8 of the reads of their UMI and feature"),
    _c("expected_collisions", "float", "molecules hidden because two of one barcode share their UMI by chance"),
    _c("most_in_a_cell", "int", "molecules of the barcode with most"),
    _c("umi_droplets", "int", "molecules in empty droplets; missing where there are none"),
    _c("n_droplets", "int", "empty droplets: no cell, ten reads or more, at most a tenth of the median cell's"),
]

HOPPING = [
    _c("patient", "str", "patient"), _c("pool", "str", "sequencing pool, empty if unknown"),
    _c("gem_well", "str", "library"), _c("samples", "str", "';'-separated samples of the library"),
    _c("molecules", "int", "molecules of its tables, of all barcodes"),
    _c("shared", "int", "of these, molecules (barcode, UMI, feature) that another library of the pool holds too"),
    _c("minor", "int", "of the shared ones, those with less than 0.8 of the reads: they hopped here, or either way"),
    _c("share", "float", "shared over molecules"),
]

TABLES: dict[str, list[Column]] = {
    "reads": READS, "sharing": SHARING, "hopping": HOPPING,
    "cells": CELLS, "receptors": RECEPTORS, "malignancy": MALIGNANCY, "clone_arms": CLONE_ARMS,
    "car_clones": CAR_CLONES, "clone_car": CLONE_CAR, "car_dna": CAR_DNA, "car_protein": CAR_PROTEIN,
    "car_what_if": CAR_WHAT_IF, "timeline": TIMELINE, "origin": ORIGIN,
    "clones": CLONES, "samples": SAMPLES, "distinct": DISTINCT, "virus": VIRUS, "variants": VARIANTS,
    "compare": COMPARE,
}
SORT: dict[str, list[str]] = {
    "reads": [], "sharing": [],  # in the order of states and features
    "cells": ["patient", "sample", "barcode"], "samples": ["patient", "sample"],
    "clone_car": ["patient", "clone_id", "specimen", "selection", "population"],
    "car_dna": ["patient", "clone_id", "specimen"],
    "car_protein": ["patient", "clone_id"],
    "car_what_if": ["patient", "clone_id"],  # scenarios in their order
    "timeline": ["patient", "clone_id", "day", "sample"],
    "clone_arms": ["patient", "clone_id"],  # arms in the order of the genome
    "distinct": ["patient", "population_a", "population_b", "line"],
    "virus": ["patient", "virus", "sample", "population"],
    "variants": ["patient", "site", "group", "name"],
    "hopping": ["patient", "pool", "gem_well"],
    "compare": ["patient", "population_a", "population_b", "sample", "modality"],  # then by p
}
_DTYPES = {"str": "object", "int": "Int64", "float": "float64", "bool": "boolean"}


def empty(table: str) -> pd.DataFrame:
    """Table with its registered columns and no row."""
    return pd.DataFrame({c.name: pd.Series(dtype=_DTYPES[c.dtype]) for c in TABLES[table]})


def conform(frame: pd.DataFrame, table: str) -> pd.DataFrame:
    """Return `frame` with exactly the registered columns of `table`, in order, typed, its words checked, sorted.

    Raises
    ------
    ValueError
        A column is missing or not registered, or a value is outside its enum: a defect of ours, not of the input.
    """
    columns = TABLES[table]
    names = [c.name for c in columns]
    missing, extra = sorted(set(names) - set(frame.columns)), sorted(set(frame.columns) - set(names))
    if missing or extra:
        raise ValueError(f"table {table!r}: missing columns {missing}, unregistered columns {extra}")
    out = pd.DataFrame({c.name: _cast(frame[c.name], c) for c in columns}, index=frame.index, copy=False)
    out.index = pd.RangeIndex(len(out))
    keys = SORT.get(table, [k for k in ("patient", "clone_id") if k in names])
    return out if _in_order(out, keys) else out.sort_values(keys, kind="stable", ignore_index=True)


def _in_order(frame: pd.DataFrame, keys: list[str]) -> bool:
    """Whether the rows stand in the order of `keys`; texts alone are looked at."""
    later: np.ndarray | bool = True
    for key in reversed(keys):
        if frame[key].dtype != object:
            return False
        values = frame[key].to_numpy()
        later = (values[:-1] < values[1:]) | ((values[:-1] == values[1:]) & later)
    return bool(np.all(later))


def _cast(values: pd.Series, column: Column) -> pd.Series:
    if column.dtype == "str":
        out = values.astype(object)
        if pd.api.types.infer_dtype(values, skipna=False) != "string":
            out = out.where(values.notna(), "").map(str).astype(object)
        if column.words:
            unknown = sorted(set(out) - set(column.words) - {""})
            if unknown:
                raise ValueError(f"column {column.name!r}: {unknown} outside its words {column.words}")
        return out
    if column.dtype == "int" and values.dtype.kind in "iu":
        return values.astype("Int64")
    if column.dtype == "int":
        numbers = pd.to_numeric(values.astype(object).where(values.notna(), None))
        return numbers.astype("Float64").round().astype("Int64")
    if column.dtype == "bool":
        return values.astype("boolean")
    return pd.to_numeric(values.astype(object).where(values.notna(), np.nan)).astype("float64")


def write(frame: pd.DataFrame, table: str, path: str | os.PathLike[str]) -> None:
    """Check a table against its registration and write it whole as CSV (gzip by name), the same bytes every time."""
    text = conform(frame, table).to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()
    if str(path).endswith(".gz"):
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, filename="") as handle:
            handle.write(text)
        text = buffer.getvalue()
    with whole(path) as part:
        part.write_bytes(text)
