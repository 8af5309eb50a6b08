"""Judging measurements against each other."""
