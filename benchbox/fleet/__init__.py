"""Where are records of many machines kept together?"""
