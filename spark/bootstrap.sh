#!/bin/bash
# Runs on every node before the job: the job's packages are for Python 3.13, which the release brings.
set -euo pipefail
command -v python3.13 >/dev/null || sudo dnf install --assumeyes --quiet python3.13 || {
  echo "this node has no python3.13 and could not install it: choose a ReleaseLabel that has it" >&2
  exit 1
}
