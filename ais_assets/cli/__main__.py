"""`python -m ais_assets.cli`."""

from ais_assets.cli.main import main

if __name__ == "__main__":
    main()
