"""What the job and the functions share: formats, manifest, quality. Standard library only."""
