"""The funnel as one reads it: find, rank, value, place, tell.

It must not know how rankers were trained, nor where grids are stored.
"""
