"""`./similar-titles`: the operator's command line, on AWS and on the local cloud."""
