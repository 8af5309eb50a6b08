"""How is the answer of one command shown? One file a command."""
