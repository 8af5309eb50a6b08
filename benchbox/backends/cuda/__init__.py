"""How does benchbox reach an NVIDIA GPU?"""
