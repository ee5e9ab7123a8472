"""`python -m evnas` is the command `evnas`."""

from evnas.cli import main

if __name__ == "__main__":
    main()
