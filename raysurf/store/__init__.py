"""The result store: bytes on a disk or in a bucket, and tables of rows as Parquet. Knows no job."""
