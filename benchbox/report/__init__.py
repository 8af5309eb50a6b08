"""HOW RESULTS ARE SHOWN: one file per format."""
