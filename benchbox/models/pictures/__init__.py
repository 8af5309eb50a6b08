"""Which pictures, and which classes?"""
