"""The published dataset as a researcher meets it."""
