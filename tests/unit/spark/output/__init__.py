"""Tests of spark/output."""
