"""Foreign recordings into the spool, message texts verbatim."""
