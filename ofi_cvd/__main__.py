"""`python -m ofi_cvd`: the command line where the `ofi` script is not on the path."""

from ofi_cvd.cli import main

if __name__ == "__main__":
    main()
