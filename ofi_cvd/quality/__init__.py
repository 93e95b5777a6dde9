"""Gates and reports on top of the files of `sql/`."""
