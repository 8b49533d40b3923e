#!/bin/sh
# How is DynamoDB Local started? With this, after setup.sh. First line on stdout: "port=N control=M". It ends when stdin closes.
set -eu
cd "$(dirname "$0")/../../.."
jars="${WATERSHED_TEST_TOOLS:-target/test-tools}/dynamodb-local"
export DDB_LOCAL_TELEMETRY=0
# Two flags for a quick start (2 s instead of 5). Who writes for minutes gives others: with all of the compiler twice as many writes
# a second come in. The native SQLite lies beside the jars.
exec java ${DYNAMODB_LOCAL_JAVA_FLAGS:--XX:TieredStopAtLevel=1 -XX:+UseSerialGC} "-Dsqlite4java.library.path=$jars" -cp "$jars/classes:$jars/*" Main
