"""Brings what everything else runs on: environments, Java, Hadoop, data sets, the job's archive."""
