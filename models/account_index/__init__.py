"""Account vectors → nearest accounts, exact and approximate, while vectors keep changing.

It must not know how vectors are learned, nor for whom neighbours are sought.
"""
