"""The one-machine cloud: the whole of AWS that the template needs, on loopback, without Docker."""
