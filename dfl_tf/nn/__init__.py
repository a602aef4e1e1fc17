"""Keras pieces that know no files and no options: layers, blocks, losses, optimizers."""
