"""IGQL, the query language of candidate generation: text or builder → tree → plan → candidates."""
