"""``python -m rnx``."""

from rnx.main import main

if __name__ == "__main__":
    main()
