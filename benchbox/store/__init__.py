"""WHERE THINGS ARE KEPT: records in results/, networks in engines/."""
