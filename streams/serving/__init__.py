"""What a ranker keeps live, and what it answers from it.

It must not know how versions are learned, nor which topic a viewer's touch came from.
"""
