"""What did a runtime make of the network as counted?"""
