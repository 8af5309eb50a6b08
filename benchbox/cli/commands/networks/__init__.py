"""Which networks are there, what do they cost analytically, and how do they become files and engines?"""
