"""Tools: clones, CAR status, virus, malignancy, origin, clusters."""

from .cells.api import cluster, umap
from .clones.api import clones, lineage_barcodes, nesting, why
from .clones.neighbors import receptor_neighbors
from .evidence.api import car_protein, car_status, variant_status, virus_status
from .malignancy.api import malignancy
from .malignancy.copynumber_api import copy_number
from .malignancy.populations_api import populations
from .origin.api import timeline
from .origin.compare_api import compare
from .origin.distinct_api import distinct

__all__ = ["car_protein", "car_status", "clones", "cluster", "compare", "copy_number", "distinct", "lineage_barcodes",
           "malignancy", "nesting", "populations", "receptor_neighbors", "timeline", "umap", "variant_status",
           "virus_status", "why"]
