#!/bin/sh
# A handler of `type = "exec"`: a change per line on stdin, a verdict per line on stdout. What it has to say goes to stderr.
count=0
while IFS= read -r change; do
    # The id is the first member: {"id":"<32 hexadecimal digits>",…
    id=${change#*\"id\":\"}
    id=${id%%\"*}
    count=$((count + 1))
    printf '{"id":"%s","ok":true}\n' "$id"
done
echo "$count new replies" >&2
