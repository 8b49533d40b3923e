"""A Lambda function whose events say what it shall do: the status of an item is `ok`, `slow`, `bad` (named as failed), `raise`
or `odd`."""

import time


def handle(event, context):
    failures = []
    for record in event["Records"]:
        assert record["eventSource"] == "aws:dynamodb" and ":table/Reply/stream/" in record["eventSourceARN"]
        status = record["dynamodb"]["NewImage"]["status"]["S"]
        if status == "raise":
            raise ValueError("secret value of the item")
        if status == "slow":
            time.sleep(8)
        if status == "bad":
            failures.append({"itemIdentifier": record["dynamodb"]["SequenceNumber"]})
        if status == "odd":
            failures.append({"itemIdentifier": "nobody"})
    return {"batchItemFailures": failures}
