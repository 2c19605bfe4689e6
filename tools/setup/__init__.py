"""Sets this folder up: Python environments, a Java, archives, what a YARN is made of."""
