"""What was shown and what came of it → rows to learn from.

It must not know the models that learn from them.
"""
