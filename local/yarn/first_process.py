"""The first process of a YARN's namespaces: starts the servers and reaps orphaned processes.

Standard library only, because it runs outside the project's environment. When this process ends,
the kernel ends all processes of the cluster, because they are in its PID namespace.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def main(plan: Path) -> None:
    """Install the nodes' Python, run the bootstrap actions and start the servers."""
    given = json.loads(plan.read_text())
    put_python(given["python"], Path(given["overlay"]))
    for script in given["bootstrap"]:
        if status := subprocess.run(["/bin/bash", script], check=False).returncode:
            sys.exit(f"bootstrap action {script} returned {status}")
    servers = {start(server): name for name, server in given["servers"].items()}
    while True:  # the first process of a namespace also inherits the containers' orphans
        ended, _ = os.wait()
        if servers.get(ended) == "resourcemanager":
            sys.exit("the ResourceManager has ended")


def start(server: dict[str, Any]) -> int:
    """Start a server in its folder and return its process id."""
    folder = Path(server["folder"])
    with (folder / "server.log").open("wb") as log:
        return subprocess.Popen(
            server["command"],
            env=server["environment"],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ).pid


def put_python(python: str, overlay: Path) -> None:
    """Make /usr/bin/python3.13 a bare Python in this mount namespace."""
    upper, work = overlay / "upper", overlay / "work"
    for folder in (overlay, upper, work):
        folder.mkdir()
    program = upper / "python3.13"
    program.write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
    program.chmod(0o755)
    layers = f"lowerdir=/usr/bin,upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, "/usr/bin"], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
