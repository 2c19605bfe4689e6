"""Updates runs from EMR's state-change events."""
