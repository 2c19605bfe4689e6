"""Timeouts of the AWS clients: every call ends before its function times out."""

from botocore.config import Config

# Seconds per attempt; boto3's default is 60. AWS_MAX_ATTEMPTS sets the number of attempts.
BOUNDED = Config(connect_timeout=2, read_timeout=5)
# For the query function: API Gateway waits at most 29 seconds.
PROMPT = Config(connect_timeout=1, read_timeout=3)
# For slow calls: S3 copies gigabytes, EMR searches its clusters.
SLOW = Config(connect_timeout=2, read_timeout=30, retries={"total_max_attempts": 3})
# RunJobFlow has no idempotency token: a retry after a lost response could buy a second cluster.
ONCE = Config(connect_timeout=2, read_timeout=60, retries={"total_max_attempts": 1})
