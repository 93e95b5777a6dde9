"""What the signals are worth: labels, statistics, price impact."""
