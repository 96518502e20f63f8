"""``python -m streams.cli``: the command ``freshgrid``."""

from streams.cli import main

if __name__ == "__main__":
    main()
