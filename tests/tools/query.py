"""Runs one query in DuckDB and prints its rows as JSON, all values as text: query.py SQL"""

import json
import sys

import duckdb

query = sys.argv[1].rstrip().rstrip(";")
print(json.dumps(duckdb.connect().execute(f"SELECT COLUMNS(*)::VARCHAR FROM ({query})").fetchall()))
