"""Spark's own RowMatrix.columnSimilarities, from text to the number of its entries."""

import sys

from pyspark.mllib.linalg import SparseVector, VectorUDT
from pyspark.mllib.linalg.distributed import RowMatrix
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from spark.contracts.movielens import FORMATS
from spark.engine.self_join import read_ratings

folder, threshold = sys.argv[1], float(sys.argv[2])
spark = SparkSession.builder.appName("columnSimilarities").getOrCreate()
ratings = read_ratings(spark, folder, FORMATS[0])
[(last,)] = ratings.agg(F.max("movie")).collect()
size = last + 1


@F.udf(VectorUDT())
def vector(rated: list[Row]) -> SparseVector:
    """The ratings of a user as a row of the matrix."""
    return SparseVector(size, [each.movie for each in rated], [each.rating for each in rated])


rated = F.sort_array(F.collect_list(F.struct("movie", "rating")))
rows = ratings.groupBy("user").agg(rated.alias("rated")).select(vector("rated"))
# It reads its rows several times.
similarities = RowMatrix(rows.cache()).columnSimilarities(threshold)
# Counted in the JVM: `similarities.entries` would send every entry to Python.
print(similarities._java_matrix_wrapper._java_model.entries().count())
spark.stop()
