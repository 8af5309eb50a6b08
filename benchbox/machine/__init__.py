"""What is this machine, and what does it do while something is measured?"""
