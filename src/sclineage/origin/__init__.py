"""Origin of clones: their course over time, whether they predate the infusion, and how distinct populations are."""
