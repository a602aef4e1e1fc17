"""AMP, the model whose likeness can be morphed."""
