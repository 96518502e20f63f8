"""Models, vectors and arms judged on what was recorded: files, the log, and the arms as stored.

It must not change what is live: logs and stores are only read.
"""
