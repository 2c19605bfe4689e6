"""The cloud on one machine: everything that the template needs of AWS, on loopback, no Docker."""
