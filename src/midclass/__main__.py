"""``python -m midclass`` is the command ``midclass``."""

from midclass.cli.app import main

if __name__ == "__main__":
    main()
