"""How are records shown? One file a format."""
