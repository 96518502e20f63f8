"""What a learner decides: when to train, and which version goes live.

It must not know how a model is trained; that is models.training.
"""
