"""Training of the ranking passes: the only modules of the project that import torch.

Nothing that serves or ingests imports this package; the weights leave it as NumPy arrays.
"""
