"""The whole flow in three acts on one machine: a simulated market, a recording that survives a kill, a real capture."""
