"""What knows no market: files, times, logs, signals, waiting, the terminal."""
