"""What a worker in a peer's environment does: answer one JSON object a line until its input ends.

The standard library is all that every peer's environment has. Import this first: whatever a peer prints, from its
import on, goes to stderr.
"""

import json
import os
import sys
import time
from collections.abc import Callable

_OUT = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def serve(handlers: dict[str, Callable[..., dict]]) -> None:
    """Requests are {"do": name, …arguments of the handler}; an exception becomes {"error": …}."""
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = handlers[request.pop("do")](**request)
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        _OUT.write(json.dumps(reply) + "\n")
        _OUT.flush()


def seconds(work: Callable[[], object]) -> tuple[float, object]:
    """Wall-clock seconds of `work`, and its result."""
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result
