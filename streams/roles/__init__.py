"""The processes of an installation: worker, learner and ranker, each composed from its agents.

What an agent does is none of its business; it opens what they need and ends when one of them fails.
"""
