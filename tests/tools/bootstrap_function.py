"""Makes a Lambda function of a binary that is its own bootstrap: bootstrap_function.py ENDPOINT NAME BINARY VARIABLES_AS_JSON

The package only names the binary: one built for tests is too large to be packed each time.
"""

import io
import json
import os
import sys
import zipfile

import boto3

for name, value in [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_DEFAULT_REGION", "us-east-1")]:
    os.environ.setdefault(name, value)
endpoint, function, binary, variables = sys.argv[1:]
code = io.BytesIO()
with zipfile.ZipFile(code, "w") as archive:
    bootstrap = zipfile.ZipInfo("bootstrap")
    bootstrap.external_attr = 0o755 << 16
    archive.writestr(bootstrap, f"#!/bin/sh\nexec '{binary}'\n")
boto3.client("lambda", endpoint_url=endpoint).create_function(
    FunctionName=function,
    Runtime="provided.al2023",
    Role="arn:aws:iam::000000000000:role/test",
    Handler="bootstrap",
    Code={"ZipFile": code.getvalue()},
    Timeout=60,
    MemorySize=1024,
    Environment={"Variables": json.loads(variables)},
)
print("{}")
