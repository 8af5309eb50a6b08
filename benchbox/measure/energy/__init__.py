"""How much energy does an inference take?"""
