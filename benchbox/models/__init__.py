"""THE ZOO: one file per family, readable next to its paper."""
