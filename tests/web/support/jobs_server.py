"""A server that starts a job and waits to be killed: ``python jobs_server.py WORKSPACE``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from dfl_tf.web import jobs
from tests.web.support.served import serving

WORK = Path(__file__).with_name("work.py")


def main() -> None:
    """Start an extraction of src."""
    jobs.program = lambda: [sys.executable, str(WORK)]
    with serving(Path(sys.argv[1])) as served:
        asked = {"kind": "extract", "values": {}, "side": "src"}
        print(served.post("/api/jobs/start", asked).status, flush=True)
        time.sleep(600)


if __name__ == "__main__":
    main()
