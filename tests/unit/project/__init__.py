"""The template, the documents and the commands that they name."""
