"""How each kind of golden folder is run against the code: one module a kind."""
