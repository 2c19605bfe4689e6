"""How long the functions wait for AWS: every call comes to its end before its function would."""

from botocore.config import Config

# Seconds for each attempt; boto3's own are 60. How many attempts there are the environment says.
BOUNDED = Config(connect_timeout=2, read_timeout=5)
# Of the query function, which API Gateway waits 29 seconds for.
PROMPT = Config(connect_timeout=1, read_timeout=3)
# For what AWS needs longer to answer: S3 copies gigabytes, EMR looks through its clusters.
SLOW = Config(connect_timeout=2, read_timeout=30, retries={"total_max_attempts": 3})
# RunJobFlow has no idempotency token: asking again on a lost answer could buy a second cluster.
ONCE = Config(connect_timeout=2, read_timeout=60, retries={"total_max_attempts": 1})
