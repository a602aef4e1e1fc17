"""A look at the faces of src and dst before training: numbers, sentences, and a page."""
