"""Models, vectors and arms judged on recorded events, without any server but a log to read.

It must not touch what is live.
"""
