"""What an operator looks at and mends over HTTP, from what a ranker and the broker know.

It must not invent what only another process knows, and reads nothing that grows with history.
"""
