"""The page over a dataset: what is on the screen, asked of the tables and served to one browser."""
