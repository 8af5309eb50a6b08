"""Which options do several commands share?"""
