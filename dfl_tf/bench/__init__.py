"""What a training step, its parts and its data cost on this machine (`dfl-tf bench`)."""
