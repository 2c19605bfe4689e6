"""What setup builds, fetches and generates."""
