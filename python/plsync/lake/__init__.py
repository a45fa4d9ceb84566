"""The lake: records as Parquet files for DuckDB, Polars, Spark and other engines."""
