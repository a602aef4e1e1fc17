"""Long work on many items: in parallel, in order, within bounded memory."""
