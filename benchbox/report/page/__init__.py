"""One self-contained HTML page of records."""
