"""How fast is this device at most: arithmetic in each precision, and memory at each level?"""
