"""Which conditions may move or void a number? One file an origin."""
