"""``python -m tidewright``."""

from tidewright.cli.main import main

if __name__ == "__main__":
    main()
