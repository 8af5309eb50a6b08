"""Which commands help a user to get along: what this machine can run, what a word means, completion?"""
