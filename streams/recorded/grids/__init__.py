"""``freshgrid evaluate grids``: what is served on a recorded log, beside what people would pick.

It must not know how grids are made: :mod:`streams.recorded.grids.production` alone does.
"""
