"""A real YARN on one machine, configured as EMR configures its nodes."""
