"""What an installation of a given size needs, summed from what benchmarks measured.

They must not know any machine's figures: those are read from a file of ``freshgrid bench`` outputs.
"""
