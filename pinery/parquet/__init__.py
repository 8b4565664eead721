"""Parquet files of the state: how they are written and read, their checksums, and the error for a damaged one."""
