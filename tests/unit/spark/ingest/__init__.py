"""Tests of spark/ingest."""
