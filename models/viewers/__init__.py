"""One viewer: the fold of her events, the packed log of her actions, the columns read from it.

It must not know candidates, models or grids; what it stores it can read again after an upgrade.
"""
