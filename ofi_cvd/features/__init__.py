"""Spool rows to labelled tables: one module a quantity, one sentence of stages an hour."""
