"""Errors of messages that should come back later; see redelivery.py.

They are apart from it because the query function reads the index, whose writers raise them, and
would import all of Powertools' batch processing at every cold start.
"""


class PostponedError(Exception):
    """A message failed and should be retried after a known delay.

    Attributes:
        seconds: the delay.
    """

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = max(seconds, 0)


class TooEarlyError(PostponedError):
    """A message came too early; it is redelivered, and this is not logged as a failure.

    SQS counts the delivery, so only for waits that end within a few deliveries.
    """
