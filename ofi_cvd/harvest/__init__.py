"""The one-click run: a recorder, a builder and the process that watches both, writes the reports and judges the result."""
