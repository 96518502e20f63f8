"""What another way to make grids would have been worth, from logs that say the chances they had.

It must not know what served: it is given rewards, chances and predictions, and never guesses a
chance that was not logged.
"""
