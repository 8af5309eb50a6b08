"""Pictures of records: one file per picture, each a Vega-Lite specification as a plain dict and the data as a table."""
