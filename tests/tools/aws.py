"""One AWS call, for what a test needs beside the writers: aws.py ENDPOINT SERVICE OPERATION JSON"""

import json
import os
import sys

import boto3

for name, value in [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_DEFAULT_REGION", "us-east-1")]:
    os.environ.setdefault(name, value)
endpoint, service, operation, arguments = sys.argv[1:]
answer = getattr(boto3.client(service, endpoint_url=endpoint), operation)(**json.loads(arguments))
print(json.dumps(answer, default=str))
