"""Random searches that run longer than a test may; a short, seeded part of each runs in the suite."""
