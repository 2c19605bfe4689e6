"""Tests of spark/measures."""
