"""Training: the loop, its files, its logs and its guards."""
