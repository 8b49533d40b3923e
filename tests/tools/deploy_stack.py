"""Deploys a template of pipelines/lambda, with the pipeline file beside it: deploy_stack.py ENDPOINT STACK TEMPLATE BINARY STREAM_ARN LAKE

The package only names the binary, since one built for tests is too large to be packed each time, and tells it where the local server is.
"""

import io
import json
import os
import pathlib
import sys
import time
import zipfile

import boto3

for name, value in [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_DEFAULT_REGION", "us-east-1")]:
    os.environ.setdefault(name, value)
endpoint, stack, template, binary, stream, lake = sys.argv[1:]
template = pathlib.Path(template)
pipeline = template.with_name(template.name.replace(".template.json", ".toml"))
code = io.BytesIO()
with zipfile.ZipFile(code, "w") as archive:
    bootstrap = zipfile.ZipInfo("bootstrap")
    bootstrap.external_attr = 0o755 << 16
    variables = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    exports = "".join(f"export {name}='{value}'\n" for name, value in variables.items())
    archive.writestr(bootstrap, f"#!/bin/sh\n{exports}exec '{binary}'\n")
    archive.write(pipeline, pipeline.name)
s3 = boto3.client("s3", endpoint_url=endpoint)
s3.create_bucket(Bucket="code")
s3.put_object(Bucket="code", Key=f"{stack}.zip", Body=code.getvalue())
formation = boto3.client("cloudformation", endpoint_url=endpoint)
parameters = {"CodeBucket": "code", "CodeKey": f"{stack}.zip", "StreamArn": stream, "Lake": lake, "Architecture": "x86_64"}
formation.create_stack(
    StackName=stack,
    TemplateBody=template.read_text(),
    Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
    Capabilities=["CAPABILITY_IAM"],
)
end = time.monotonic() + 300
while (found := formation.describe_stacks(StackName=stack)["Stacks"][0])["StackStatus"].endswith("_IN_PROGRESS"):
    assert time.monotonic() < end, "the stack is not there after five minutes"
    time.sleep(0.1)
if found["StackStatus"] != "CREATE_COMPLETE":
    events = formation.describe_stack_events(StackName=stack)["StackEvents"]
    sys.exit(f"{found['StackStatus']}: {[event for event in events if 'FAILED' in event['ResourceStatus']]}")
role = next(
    resource["PhysicalResourceId"]
    for resource in formation.describe_stack_resources(StackName=stack)["StackResources"]
    if resource["LogicalResourceId"] == "Role"
)
iam = boto3.client("iam", endpoint_url=endpoint)
policy = iam.get_role_policy(RoleName=role, PolicyName="watershed")["PolicyDocument"]
print(json.dumps({"outputs": found.get("Outputs"), "policy": policy}, default=str))
