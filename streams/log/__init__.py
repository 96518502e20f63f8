"""The log as a whole: replay it, fold it again, repair what could not be applied.

It must not run beside the workers whose state it writes.
"""
