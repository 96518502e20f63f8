"""IGQL, the query language of candidate generation: text or builder → tree → plan → candidates.

It must not know which query is served to whom, nor what becomes of the candidates.
"""
