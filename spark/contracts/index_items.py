"""How a line of `neighbours/` is compressed into an item of the index, and how long it may be.

Both the job, which shortens longer lines, and the indexer call `deflate.zlib_compress`: they agree
on the size to the byte.
"""

# A level of libdeflate: tighter than zlib at its best, in half the time of zlib's usual level.
COMPRESSION = 6
# Compressed bytes of a line, at most: DynamoDB allows 400 KB per item, key and names included.
LINE_BYTES = 390_000
