"""THE NOUNS: frozen values that pass between stages; no behaviour, no I/O.

Units: base SI with the unit in the field name (``_s``, ``_bytes``, ``_ns`` for raw clock ticks);
ratios are ratios, never percent. Unknown is None, never 0.
"""
