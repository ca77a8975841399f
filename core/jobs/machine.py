"""Names of processes that tell, on the same machine, whether the process is still there."""

import os
import socket
from pathlib import Path
from secrets import token_hex


def process_name() -> str:
    """Return a name of this process that no other has: its machine, its number there, and when it was started."""
    pid = os.getpid()
    return f"{_machine()}:{pid}:{_started(pid) or token_hex(8)}"


def is_gone(name: str) -> bool:
    """Tell whether a process of this machine has certainly ended, by its name; False for those of others."""
    machine, pid, started = name.rsplit(":", 2)
    return machine == _machine() and _started(os.getpid()) is not None and _started(int(pid)) != started


def _machine() -> str:
    """Return a name of what numbers processes: this boot of this machine, or of this container of it (Linux)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()}:{boot}:{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str | None:
    """Return when a process was started, in ticks since the machine was; None if there is none, or nobody tells."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]  # proc(5): the state, and field 22, counted from the third
