"""The tutorial's program: text to Parquet by a self-join, as a program of its own."""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark.engine.self_join import similarities

folder, output = sys.argv[1:3]
spark = SparkSession.builder.appName("tutorial").getOrCreate()
columns = F.split("value", "::")
ratings = spark.read.text(f"{folder}/ratings.dat").select(
    columns[0].cast("int").alias("user"),
    columns[1].cast("int").alias("movie"),
    columns[2].cast("double").alias("rating"),
)
similarities(ratings, min_co_raters=10, min_score=0.95).write.mode("overwrite").parquet(output)
spark.stop()
