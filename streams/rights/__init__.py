"""A viewer's rights: to have everything that is stored, and to be forgotten.

It must not know what states or grids mean: it finds them, hands them out and deletes them.
"""
