"""What does a network cost in another precision?"""
