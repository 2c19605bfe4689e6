"""Carries out what an operator asks for: rollback, promote, rebuild, rerun."""
