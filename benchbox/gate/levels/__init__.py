"""Which levels does a team expect of its cases, which changes did it accept, and what would a night propose?"""
