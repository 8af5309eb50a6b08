"""WHAT RUNS A NETWORK: one module or package per backend, each registers itself."""
