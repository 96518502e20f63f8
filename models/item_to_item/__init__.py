"""Which media are liked by the same viewers, over their whole histories.

It knows histories as rows of numbers. It must not know viewers' states, queries or rankers.
"""
