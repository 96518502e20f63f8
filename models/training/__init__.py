"""Training of the ranking passes: the only room of :mod:`models` that imports torch.

Nothing that serves or ingests imports this package; the weights leave it as NumPy arrays. It must
not know where examples come from, nor which version goes live.
"""
