"""What a file of a part holds under a key."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[np.generic] | np.generic
"""A weight or a slot, or a counter without dimensions."""
