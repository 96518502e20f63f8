"""One assembly of features of (viewer, candidate) pairs, for grids and for training alike.

It must not know labels, nor which pass reads which column.
"""
