"""Which commands measure: networks, their layers, their accuracy, and the machine itself?"""
