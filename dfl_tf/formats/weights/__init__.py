"""Weight files that are no models of this program: the legacy release's, and open ones."""
