"""How does MLPerf LoadGen issue requests?"""
