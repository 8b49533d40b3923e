"""Copies a lake out of S3 into a folder, so that it can be looked at as a whole: fetch_lake.py s3://bucket/prefix ENDPOINT FOLDER"""

import json
import sys

from check_lake import download

address, endpoint, folder = sys.argv[1:]
download(address, endpoint, folder)
print(json.dumps({"folder": folder}))
