"""Which networks do other libraries know by name, and what are their inputs?"""
