"""Forks `py>` children, with the libraries loaded: `python py_server.py SOCKET`; warm.py has the other end.

The operator is loaded too if it is on the PYTHONPATH; else each child has to import that of its project.

A request is JSON, with two files: for all that the child prints, and for its process id and wait status, a line each.
"""

import atexit
import gc
import importlib.util
import json
import os
import runpy
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

_LIBRARIES = ("backoff", "requests", "tdclient", "yaml")
# Modules of the operator that tasks name.
_OPERATOR = ("activation", "erasure", "export", "lift", "status")
# The largest message that Linux transfers at once.
_MOST_BYTES = 200_000


def serve(requests: socket.socket) -> list[str] | None:
    """Return in each child its script with its arguments, and None in this process after the last request."""
    while True:
        request, fds, *_ = socket.recv_fds(requests, _MOST_BYTES, 2)
        if not request:
            return None
        if os.fork() == 0:
            requests.close()
            return _run_child(*fds, **json.loads(request))
        for fd in fds:
            os.close(fd)


def _run_child(output: int, status: int, **request: Any) -> list[str]:
    """Continue in a child of this process, which writes the child's id and its exit status to `status`."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        os.close(status)
        return _enter_script(output, **request)
    os.close(output)
    os.write(status, b"%d\n" % child)
    os.write(status, b"%d\n" % os.waitpid(child, 0)[1])
    os._exit(0)


def _enter_script(output: int, *, script: list[str], folder: str, environ: dict[str, str]) -> list[str]:
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    return script


def _end_child() -> NoReturn:
    """End a child as multiprocessing does, since Python takes longer to take all modules apart than for most tasks."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    # Remove this folder, whose modules the children must not import.
    del sys.path[0]
    for name in _LIBRARIES:
        importlib.import_module(name)
    if importlib.util.find_spec("td_pinterest_op"):
        for name in _OPERATOR:
            importlib.import_module(f"td_pinterest_op.{name}")
    # Keep loaded modules out of the children's garbage collection.
    gc.collect()
    gc.freeze()
    # Reap the processes that wait for the children automatically.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    script = serve(socket.socket(fileno=int(sys.argv[1])))
    if script is not None:
        sys.argv[:] = script
        sys.path.insert(0, str(Path(script[0]).parent.absolute()))
        runpy.run_path(script[0], run_name="__main__")
        _end_child()
