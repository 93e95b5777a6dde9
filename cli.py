"""The door for people who run `ofi` from a checkout: `python cli.py build`."""

from ofi_cvd.cli import main

if __name__ == "__main__":
    main()
