"""Sessions of accounts → account vectors, and how good those are.

It must not know how vectors are searched, nor what is recommended by them.
"""
