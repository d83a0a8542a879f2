"""Tells about the interpreter that runs it, as JSON.

Standard library only, and no newer syntax than Python 3.9's: other interpreters run this file.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import sysconfig


def probe() -> dict[str, object]:
    """Describe this interpreter; inside a virtual environment, the one that it was made from."""
    version = sys.implementation.version
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    threads = sysconfig.get_config_var("abi_thread") or ""
    return {
        "executable": os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable),
        "version": platform.python_version(),
        "build": f"{sys.version} {sysconfig.get_config_var('SOABI')}",
        "platform": sysconfig.get_platform(),
        "site_packages": f"lib/python{minor}{threads}/site-packages",
        "markers": {
            "implementation_name": sys.implementation.name,
            "implementation_version": f"{version.major}.{version.minor}.{version.micro}",
            "os_name": os.name,
            "platform_machine": platform.machine(),
            "platform_python_implementation": platform.python_implementation(),
            "platform_release": platform.release(),
            "platform_system": platform.system(),
            "platform_version": platform.version(),
            "python_full_version": platform.python_version(),
            "python_version": minor,
            "sys_platform": sys.platform,
        },
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(probe()))
