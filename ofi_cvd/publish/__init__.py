"""Whole files, checkpoint, compaction: the only room besides quality that collects."""
