"""The built-in exchange: a simulated or replayed market behind the real wire protocol."""
