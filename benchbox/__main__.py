"""How is benchbox run without its script? ``python -m benchbox``."""

from benchbox.cli import main

if __name__ == "__main__":
    main()
