"""The product and its rivals in simulated worlds: what is served is what gets looked at.

It must not know how the world comes to its answers: it asks :mod:`models.simulation`.
"""
