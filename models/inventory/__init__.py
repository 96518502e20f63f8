"""What can be shown, and what everybody together does with it: catalogue, popularity, pictures.

It must not know any one viewer.
"""
