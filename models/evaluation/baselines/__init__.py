"""What people would pick instead of the grid, each a few lines of linear algebra on the log.

It must not know the product: no world, no query, no rankers. Exclusions are those of the list.
"""
