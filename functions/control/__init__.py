"""Runs the operator's commands: rollback, promote, rebuild, rerun."""
