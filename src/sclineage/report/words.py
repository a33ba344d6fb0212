"""What every word means: one dictionary for the enums of the tables, the flags, and the terms of the report."""

from __future__ import annotations

from .. import _schema as schema

CAR_VERDICT = {
    "CAR_positive": "The clone expresses the CAR, and all its members do, as far as the data can tell. "
                    "Not a statement of cause.",
    "CAR_mixed": "Some members of the clone carry the CAR, others do not.",
    "CAR_present": "Members of the clone carry the CAR; whether all or some cannot be resolved.",
    "no_clonal_CAR_expression": "A CAR that the whole clone expresses is excluded. A minority of carrying members, up "
                                "to the stated share, is not.",
    "CAR_transcript_not_detected": "As above, and a positive control was measured and the share left open is small. "
                                   "A silenced vector is not excluded.",
    "CAR_DNA_not_detected": "No clonal CAR by RNA, and vector copies per tumour cell are below 0.1 at the stated "
                            "purity (95 % limit).",
    "indeterminate": "The data cannot answer. Never to be read as negative.",
}
CAR_REASON = {
    "too_few_cells": "Too few informative cells for an answer either way.",
    "no_control": "No positive control was measured, so silence cannot be told from a blind library.",
    "control_silent": "The positive control shows no CAR: the assay did not work.",
    "background_not_identified": "All CAR counts of the library may be background.",
    "segment_not_seen_by_chemistry": "The counted part of the vector is out of reach of the library chemistry.",
    "doublets": "The signal is no more than doublets with CAR-T cells would bring.",
    "rna_dna_conflict": "RNA and vector DNA disagree.",
    "counts_not_car_unique": "The counts include sequence that normal T-cell genes share with the CAR.",
    "not_assessed": "No CAR counts for these cells.",
}
CAR_CALL = {
    "pos": "Cell with a probability of at least 0.95 of carrying an expressed CAR.",
    "unlikely": "Cell with a probability of at most 0.05.",
    "uncertain": "Cell in between.",
}
MALIGNANT_CALL = {
    "malignant": "Posterior above 0.95, with genetic evidence, pathology or the user's own call behind it.",
    "suspicious": "Evidence points to malignancy without proving it.",
    "no_malignant_features": "No feature of malignancy, in data that had the power to show one.",
    "not_assessable": "The data cannot tell; silence of the data is not health.",
}
VARIANT_CALL = {
    "mutant": "Cells of the group carry the variant.",
    "wild_type": "The reads would have shown the variant and did not. Of a clone this excludes a variant that all "
                 "members share; the upper end of the share stays open.",
    "not_assessable": "Too few reads to tell. Never to be read as wild type.",
}
VARIANT_REASON = {
    "no_reads": "No cell of the group has a read at the site.",
    "too_few_reads": "Reads without the variant, too few to exclude it.",
    "ambiguous": "Reads of the variant that error, soup or doublets may explain.",
}
DNA_CALL = {
    "present": "More than 0.5 vector copies per tumour cell, whatever the other cells carry.",
    "not_detected": "Fewer than 0.1 vector copies per tumour cell at the stated purity (95 % limit).",
    "not_decided": "The counts, the purity or the other cells of the specimen leave it open.",
}
DNA_REASON = {
    "purity_unknown": "Without the share of tumour cells, copies per tumour cell are not known.",
    "too_few_copies_counted": "Too few reference copies were counted to exclude one vector copy per tumour cell.",
    "copies_in_other_cells_possible": "The copies may be the tumour's or those of CAR-T cells beside it.",
    "no_copy_number": "Integration sites without a vector copy number.",
    "malignant_clone_unknown": "No clone of the patient is called malignant or suspicious, so the DNA is nobody's.",
}
PROTEIN_CALL = {
    "present": "Members show the CAR protein, more than doublets and background would bring.",
    "not_detected": "No member shows it beyond the stated share, with an antibody that works in the same library.",
    "not_decided": "Too few cells, or background and signal of the antibody are not plainly apart.",
}
PROGRAMME = {
    "latency_I": "EBNA1 or BART transcripts of Epstein-Barr virus were seen.",
    "latency_II": "Latent membrane proteins were seen.",
    "latency_III": "Nuclear antigens beyond EBNA1 were seen.",
    "lytic": "Two lytic genes or more were seen.",
}
MALIGNANT_BASIS = {
    "genetic": "The call rests on genetic changes in the cells of the clone.",
    "pathology": "The call rests on the diagnosis given in the sample sheet.",
    "user": "The call was given by the user.",
}
CLONE_STATUS = {
    "assigned": "The cell's receptor names its clone.",
    "attached_dropout": "One chain was not captured; the cell is attached by the other, with a probability.",
    "ambiguous": "More than one clone fits.",
    "doublet": "Two cells in one droplet, by their receptors.",
    "ambient_cleaned": "A stray chain from the soup was removed.",
    "multichain": "More chains than one cell has.",
    "no_receptor": "No productive receptor was captured.",
}
PREDATES = {
    "yes": "The clone was seen before the infusion.",
    "not_detected": "It was looked for before the infusion and not found, down to the stated frequency. Absence never "
                    "proves that it is younger.",
    "not_sampled": "No informative sample from before the infusion.",
}
POPULATION = {
    "malignant": "Cells of malignant clones.",
    "CAR-T": "T cells that carry the CAR and are not malignant.",
    "other_T": "T cells of neither kind.",
    "other": "Cells that are not T cells.",
    "doublet": "Two cells in one droplet.",
    "not_assessed": "Cells for which the question could not be asked.",
}
MEMBERS = {
    "all": "All members of the clone in that specimen.",
    "malignant": "Members called malignant.",
    "other": "Members not called malignant, such as bystanders with the same receptor.",
}
SELECTION = {
    "none": "Cells were not sorted.",
    "CAR+": "Cells sorted for the CAR: tells what CAR cells look like, never how many there are.",
    "CAR-": "Cells sorted against the CAR.",
    "unknown": "It is not known whether cells were sorted; frequencies and negatives are not taken from them.",
}
DIAGNOSIS = {
    "T_lymphoma_proven": "T-cell lymphoma proven by pathology.",
    "suspected": "T-cell lymphoma suspected.",
    "surveillance": "Taken during routine follow-up.",
    "none": "No T-cell disease suspected.",
}
ROLE = {
    "car_positive_control": "Cells known to carry the CAR.",
    "car_negative_control": "Cells known to lack the CAR.",
    "cnv_reference": "Normal cells for copy number.",
}
COUNTING = {
    "unique": "Only sequence found in the CAR alone is counted.",
    "whole_cds": "The whole coding sequence is counted, including parts shared with normal genes.",
    "unknown": "How the CAR was counted is not known; the background is then always questioned.",
}
FLAG = {
    "also_in": "The variant is also in these cells, which are no T cells: older than the T-cell clone.",
    "ambient_assumed": "The soup could not be measured and was assumed.",
    "at_ambient": "Viral reads are no more than the soup would bring.",
    "background_assumed": "The CAR background could not be measured and was assumed.",
    "background_not_identified": "CAR and background cannot be told apart in this library.",
    "background_not_resolved": "Background and signal of the antibody are not plainly apart, so nothing is called.",
    "background_uncertain": "The background of a library behind this verdict is in doubt.",
    "blacklisted": "Viral features left out, since reads of other origin pile up there.",
    "car_in_negative_control": "Cells that were declared free of the CAR show it.",
    "control_silent": "Cells that were declared to carry the CAR show none.",
    "counts_not_car_unique": "The CAR counts include sequence that normal T-cell genes share.",
    "depth_unknown": "No gene-expression matrix, so every cell is given the same depth.",
    "dna_not_decided": "Vector DNA was measured and does not decide: see its row for why.",
    "dna_not_detected": "Vector DNA was not detected; alone, without a negative by RNA, it makes no verdict.",
    "focus": "A clone that was asked for.",
    "follows_car": "Viral features found with the CAR: sequence of the vector, or a virus of the CAR-T cells.",
    "from_sorted": "Carrying members were seen only among sorted cells.",
    "high_mito": "Most virus-positive cells are dying.",
    "index_hopping": "Share of the library's molecules that another library of the sequencing pool holds too.",
    "inherited_like": "In nearly all cells of all lineages: likely inherited.",
    "minor": "Carrying members exist, but a CAR in all members is excluded.",
    "no_informative_cells": "No cell in which the clone could have been seen.",
    "no_positive_control": "No cells in which the CAR was shown to be captured.",
    "not_assessed": "The question could not be asked here.",
    "not_used": "A column of the sample sheet that this version does not use.",
    "one_cell": "The call rests on one cell.",
    "one_site_dominates": "One integration site holds more reads than an even mixture of sites would give it.",
    "one_locus_only": "Viral reads from one locus only; never counted as positive.",
    "only_CAR+_sorted": "Seen only in cells sorted for the CAR.",
    "only_CAR-_sorted": "Seen only in cells sorted against the CAR.",
    "negative_control": "Taken as free of the CAR (declared, or before the infusion): it measures the background.",
    "pre_infusion_car": "CAR transcripts before the infusion: a swapped sample or a wrong reference.",
    "qc_flagged_members": "Members kept although quality control would have dropped them, and their number.",
    "rna_dna_conflict": "RNA and vector DNA disagree.",
    "rna_protein_conflict": "CAR protein and CAR transcript disagree on this clone; neither overrules the other.",
    "rna_silent": "The vector is there by DNA; RNA alone could not tell.",
    "selected": "Sorted cells: a share of the sort, not of the body.",
    "selection_unknown": "It is not known whether these cells were sorted.",
    "several_malignant_clones": "The specimen holds several malignant clones, which share its purity.",
    "specimen_without_cells": "DNA of a specimen without single cells, taken for the only malignant clone.",
    "super_spreader": "One cell holds most of the viral reads.",
    "vector": "Viral features left out, since the vector holds their sequence.",
    "trb_not_seen": "No member shows a TRB, so no frequency can be given.",
}
TERM = {
    "clone": "T cells that descend from one T cell, known by their rearranged T-cell receptor.",
    "informative cell": "A cell in which the feature could have been seen: it passed quality control, is no doublet, "
                        "and the sample was assayed for it.",
    "UMI": "One captured molecule.",
    "posterior": "Probability given the data and the stated prior.",
    "Bayes factor": "How many times better the data fit with the CAR than without; given as log10, positive for "
                    "the CAR.",
    "nats": "Natural-log units of evidence; 3 nats are odds of 20 to 1.",
    "background": "CAR molecules that cells without a CAR show, from soup, mis-assigned reads and barcode swaps.",
    "sensitivity": "Share of true CAR cells of median depth that show at least one CAR UMI.",
    "power": "Probability that data of this size would have given the answer, were it true.",
    "limit of detection": "Highest frequency that is still compatible (95 %) with having seen no cell.",
    "interval": "Two-sided 95 % interval; exact (Clopper-Pearson) for frequencies.",
    "vector copy number": "Copies of the vector per cell, measured on DNA.",
}
#          title of the group, its words, the enum that they must cover
GROUPS: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    "car_verdict": ("CAR of a clone", CAR_VERDICT, schema.CAR_VERDICTS),
    "car_reason": ("Why indeterminate", CAR_REASON, schema.CAR_REASONS),
    "car_call": ("CAR of a cell", CAR_CALL, schema.CAR_CALLS),
    "malignant_call": ("Malignancy", MALIGNANT_CALL, schema.MALIGNANT_CALLS),
    "dna_call": ("Vector DNA", DNA_CALL, schema.DNA_CALLS),
    "dna_reason": ("Why vector DNA does not decide", DNA_REASON, schema.DNA_REASONS),
    "protein_call": ("CAR protein", PROTEIN_CALL, schema.PROTEIN_CALLS),
    "programme": ("Programme of Epstein-Barr virus (a higher one is never excluded)", PROGRAMME,
                  schema.EBV_PROGRAMMES),
    "variant_call": ("Variants", VARIANT_CALL, schema.VARIANT_CALLS),
    "variant_reason": ("Why a variant is not assessable", VARIANT_REASON, schema.VARIANT_REASONS),
    "malignant_basis": ("What a malignancy call rests on", MALIGNANT_BASIS, schema.MALIGNANT_BASIS),
    "clone_status": ("How a cell got its clone", CLONE_STATUS, schema.CLONE_STATUSES),
    "predates_infusion": ("Age of a clone", PREDATES, schema.PREDATES),
    "population": ("Populations", POPULATION, schema.POPULATIONS),
    "members": ("Members of a clone", MEMBERS, schema.CLONE_POPULATIONS),
    "selection": ("Sorting", SELECTION, schema.SELECTIONS),
    "diagnosis": ("Diagnosis in the sample sheet", DIAGNOSIS, schema.DIAGNOSES),
    "role": ("Controls", ROLE, schema.ROLES),
    "car_counting": ("How the CAR was counted", COUNTING, schema.CAR_COUNTING),
    "flags": ("Flags", FLAG, ()),
    "terms": ("Terms", TERM, ()),
}
GLOSSARY: dict[str, dict[str, str]] = {key: group[1] for key, group in GROUPS.items()}

PLAIN = {
    "CAR_positive": "CAR positive", "CAR_mixed": "CAR mixed", "CAR_present": "CAR present",
    "no_clonal_CAR_expression": "no clonal CAR expression",
    "CAR_transcript_not_detected": "CAR transcript not detected", "CAR_DNA_not_detected": "CAR DNA not detected",
    "no_malignant_features": "no malignant features", "not_assessable": "not assessable", "other_T": "other T cells",
    "other": "other cells", "malignant": "malignant", "CAR-T": "CAR-T cells", "yes": "yes",
    "driver": "driver mutation", "copy_number": "copy number", "not_detected": "not detected before",
    "not_sampled": "not sampled before",
}


def plain(word: object) -> str:
    """Word of a table in print."""
    return PLAIN.get(str(word), str(word).replace("_", " "))
