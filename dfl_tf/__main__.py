"""`python -m dfl_tf`."""

from __future__ import annotations

from dfl_tf.cli.main import main

if __name__ == "__main__":
    main()
