"""Which networks does benchbox know by name? One file a family."""
