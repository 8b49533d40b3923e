"""Makes a Lambda function in Python out of one file: lambda_function.py ENDPOINT NAME FILE

Its handler is `handle` in the file.
"""

import io
import os
import sys
import zipfile

import boto3

for name, value in [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_DEFAULT_REGION", "us-east-1")]:
    os.environ.setdefault(name, value)
endpoint, function, path = sys.argv[1:]
code = io.BytesIO()
with zipfile.ZipFile(code, "w") as archive:
    archive.write(path, "function.py")
boto3.client("lambda", endpoint_url=endpoint).create_function(
    FunctionName=function,
    Runtime="python3.11",
    Role="arn:aws:iam::000000000000:role/test",
    Handler="function.handle",
    Code={"ZipFile": code.getvalue()},
    Timeout=30,
)
print("{}")
