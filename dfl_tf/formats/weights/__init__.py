"""Weight files that are not models of this program: the legacy release's, and open ones."""
