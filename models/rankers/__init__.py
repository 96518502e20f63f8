"""The three passes as weights: features → scores, and what a prediction is worth.

It must not know where candidates come from, nor how the weights were learned.
"""
