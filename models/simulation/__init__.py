"""A small world whose truth is known: who would like what, at any time, shown or not.

It must not know what serves in it: no states, no grids of the product, no rankers. Everything
follows from a seed.
"""
