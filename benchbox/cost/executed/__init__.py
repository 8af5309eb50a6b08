"""What did a runtime make of the network on paper?"""
