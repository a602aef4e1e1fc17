"""SAEHD, the all-round model."""
