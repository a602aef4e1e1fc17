"""Quick96, the fixed small model."""
