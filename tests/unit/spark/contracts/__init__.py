"""Tests of spark/contracts."""
