"""The whole stack on one machine: for a newcomer, the demo and the benchmarks.

No production process imports it.
"""
