"""In which order do the stages of a command run?"""
