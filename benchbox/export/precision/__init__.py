"""How does a graph get into another precision?"""
