"""Figures, gates and drift: whether a version is good enough to serve.

It must not know how a version was trained.
"""
