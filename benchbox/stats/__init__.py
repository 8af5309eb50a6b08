"""Small statistics, each with an oracle in the tests."""
