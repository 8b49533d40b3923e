"""Prints all items of a table as one JSON object, {"items": [...]}, in DynamoDB JSON: dump_table.py ENDPOINT TABLE"""

import json
import os
import sys

import boto3

from write_dynamodb import unwire_item

os.environ.setdefault("AWS_ACCESS_KEY_ID", "test")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "test")
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
pages = boto3.client("dynamodb", endpoint_url=sys.argv[1]).get_paginator("scan")
items = [item for page in pages.paginate(TableName=sys.argv[2], ConsistentRead=True) for item in page["Items"]]
print(json.dumps({"items": [unwire_item(item) for item in items]}))
