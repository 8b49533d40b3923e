#!/usr/bin/env python3
"""Write the recorded changes of the quickstart, and what a correct reader must count in them.

    python3 tests/tools/make_quickstart.py            write the files
    python3 tests/tools/make_quickstart.py --check    exit 1 if a file differs from what would be written

Running it again gives byte-identical files: one seed, no clock, no environment, no hash order, nothing but the
Python standard library (and of `random` only `Random.random()`, the one generator whose sequence Python promises
to keep). So the files may be committed, reviewed and regenerated without noise.

It plays three days (2026-11-18 to 2026-11-20, UTC) of the forum and shop application of the DynamoDB developer
guide against four tables in memory, and records every change as DynamoDB would: an image is always the state
before or after, an update that changes nothing leaves no record, every write has its own place in time. Each table
is recorded in another shape:

    pipelines/quickstart/product-catalog.ndjson   Kinesis Data Streams for DynamoDB, one payload per line
    pipelines/quickstart/forum.ndjson             DynamoDB Streams records, one per line
    pipelines/quickstart/thread.json              one Lambda event, pretty-printed, non-ASCII text escaped
    pipelines/quickstart/reply.ndjson             GetRecords pages, one per line, with the StreamArn of the page
    tests/fixtures/quickstart-expected.json       counts, kept by the simulation itself
"""

import base64
import copy
import datetime
import heapq
import json
import pathlib
import random
import struct
import sys
import zlib
from decimal import Decimal

SEED = 20261118
REGION = "eu-central-1"
ACCOUNT = "111122223333"
STREAM_LABEL = "2026-11-20T08:15:30.123"
ROOT = pathlib.Path(__file__).resolve().parents[2]

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def at(day, hour, minute=0, second=0):
    """Microseconds since 1970 of a moment of November 2026, UTC."""
    moment = datetime.datetime(2026, 11, day, hour, minute, second, tzinfo=datetime.timezone.utc)
    return int(moment.timestamp()) * SECOND


OPENING = at(18, 6)
CLOSING = at(20, 20)


def iso_ms(micros):
    """`2026-11-18T06:00:00.123Z`, as the guide writes times."""
    moment = datetime.datetime.fromtimestamp(micros // SECOND, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + ".%03dZ" % (micros % SECOND // 1000)


class Dice:
    """Every random choice, made from `Random.random()` alone."""

    def __init__(self, seed):
        self._random = random.Random(seed)

    def below(self, limit):
        return int(self._random.random() * limit)

    def between(self, low, high):
        return low + self.below(high - low + 1)

    def chance(self, probability):
        return self._random.random() < probability

    def pick(self, options):
        return options[self.below(len(options))]

    def some(self, options, count):
        left = list(options)
        return [left.pop(self.below(len(left))) for _ in range(min(count, len(left)))]

    def hex(self, digits):
        return "".join(self.pick("0123456789abcdef") for _ in range(digits))

    def uuid(self):
        h = self.hex(30)
        return "%s-%s-4%s-%s%s-%s" % (h[:8], h[8:12], h[12:15], self.pick("89ab"), h[15:18], h[18:30])


# === attribute values ===


def S(text):
    return {"S": text}


def N(number):
    """DynamoDB returns plain decimals: no exponent, no padding zeroes, no `-0`."""
    value = Decimal(str(number))
    if value == 0:
        return {"N": "0"}
    text = format(value, "f")
    return {"N": text.rstrip("0").rstrip(".") if "." in text else text}


def B(data):
    return {"B": base64.b64encode(data).decode("ascii")}


def SS(*texts):
    return {"SS": sorted(set(texts))}


def NS(*numbers):
    return {"NS": [N(n)["N"] for n in sorted({Decimal(str(n)) for n in numbers})]}


def BS(*blobs):
    return {"BS": [B(b)["B"] for b in sorted(set(blobs))]}


def L(*values):
    return {"L": list(values)}


def M(**values):
    return {"M": values}


def BOOL(flag):
    return {"BOOL": flag}


NULL = {"NULL": True}


def value_size(value):
    """Bytes of one value by the guide's arithmetic."""
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content.encode("utf-8"))
    if kind == "N":
        digits = content.lstrip("-").replace(".", "").strip("0")
        return (len(digits) + 1) // 2 + 1 + content.startswith("-")
    if kind == "B":
        return len(base64.b64decode(content))
    if kind in ("BOOL", "NULL"):
        return 1
    if kind in ("SS", "NS", "BS"):
        return sum(value_size({kind[0]: element}) for element in content)
    if kind == "L":
        return 3 + sum(1 + value_size(element) for element in content)
    return 3 + sum(1 + len(name.encode("utf-8")) + value_size(element) for name, element in content.items())


def item_size(item):
    return sum(len(name.encode("utf-8")) + value_size(value) for name, value in item.items())


# === the tables ===


class World:
    """The clock and the queue of what is still to happen."""

    def __init__(self, dice):
        self.dice = dice
        self.now = OPENING
        self._queue = []
        self._order = 0

    def later(self, moment, action, *arguments):
        """Run `action` at `moment`; what falls behind the closing hour never happens."""
        if moment < CLOSING:
            self._order += 1
            heapq.heappush(self._queue, (moment, self._order, action, arguments))

    def tick(self):
        """A moment of its own for every write."""
        self.now += self.dice.between(1_500, 48_000)
        return self.now

    def run(self):
        while self._queue:
            moment, _, action, arguments = heapq.heappop(self._queue)
            self.now = max(self.now, moment + self.dice.below(900_000))
            action(*arguments)


class Table:
    """One table: its items, and the change each write leaves behind."""

    def __init__(self, world, name, keys):
        self.world = world
        self.name = name
        self.keys = keys
        self.items = {}
        self.changes = []
        self.written = {"INSERT": 0, "MODIFY": 0, "REMOVE": 0}
        self.ttl_removals = 0

    def get(self, *key):
        return self.items.get(key)

    def put(self, item):
        key = self._key(item)
        old = self.items.get(key)
        if item == old:
            return
        self.items[key] = copy.deepcopy(item)
        self._record("MODIFY" if old else "INSERT", key, item, old)

    def update(self, key, changed=None, removed=()):
        item = {name: value for name, value in self.items[key].items() if name not in removed}
        item.update(changed or {})
        self.put(item)

    def delete(self, key, ttl=False):
        old = self.items.pop(key, None)
        if old is not None:
            self.ttl_removals += ttl
            self._record("REMOVE", key, None, old, ttl)

    def stream_arn(self):
        return "arn:aws:dynamodb:%s:%s:table/%s/stream/%s" % (REGION, ACCOUNT, self.name, STREAM_LABEL)

    def _key(self, item):
        return tuple(next(iter(item[name].values())) for name in self.keys)

    def _record(self, op, key, new, old, ttl=False):
        self.written[op] += 1
        image = new or old
        change = {
            "at": self.world.tick(),
            "op": op,
            "keys": {name: image[name] for name in self.keys},
            "new": copy.deepcopy(new),
            "old": copy.deepcopy(old),
            "ttl": ttl,
        }
        change["size"] = sum(item_size(part) for part in (change["keys"], new, old) if part)
        self.changes.append(change)


# === what people say ===

PEOPLE = [
    "User A", "User B", "Ana Carolina Silva", "Paulo Santos", "Nikki Wolf", "Saanvi Sarkar", "Mateo Jackson",
    "Zhang Wei", "王秀英", "Arnav Desai", "Jane Doe", "John Stiles", "Márcia Oliveira", "Martha Rivera",
    "Mary Major", "Jorge Souza", "Kwaku Mensah", "Li Juan", "Pat Candella", "Richard Roe", "Shirley Rodriguez",
    "Sofía Martínez", "Terry Whitlock", "Wang Xiulan", "Ivy Chen", "Diego Ramirez", "Efua Owusu", "Akua Mansa",
    "Carlos Salazar", "Jürgen Groß", "Søren Ångström", "Ewa Żółkiewska", "Δημήτρης Π.", "Олена К.", "佐藤 花子",
]

# name: (category, description, moderators, threads, what one may answer there)
FORUMS = {
    "Amazon DynamoDB": (
        "Amazon Web Services",
        None,
        ["Mary Major", "Zhang Wei"],
        [
            ("How do I model one-to-many without a join?", "An order has up to 200 lines. One item with a list, or one item per line under the same partition key?", ["modelling", "single-table"]),
            ("Hot partition although the keys look random", "Our partition key is a UUID and we still see throttling on a single partition at 09:00 sharp.", ["throttling", "capacity"]),
            ("TTL deletes arrive hours late", "ExpiresAt is an hour in the past and the item is still returned by Query. Is our number in the wrong unit?", ["ttl"]),
            ("TransactWriteItems fails with TransactionConflict", "Two workers update the same counter item. How many retries are reasonable?", ["transactions", "retry"]),
            ("GSI back-fill throttles the base table", "We added an index to a table of 80 GB and writes to the table began to fail.", ["index", "throttling"]),
            ("Numbers with 38 digits lose precision in my client", "12345678901234567890123456789012345678 comes back as 1.2345678901234568e+37. The console shows it right.", ["numbers", "sdk"]),
            ("Streams: how often do shards rotate?", "I see a new shard about every four hours even when nobody writes. Is this documented anywhere?", ["streams", "shards"]),
            ("Empty strings in non-key attributes", "Since when is \"\" accepted? Our validation layer still replaces it with NULL.", ["types"]),
            ("Sets or lists for tags?", "SS removes duplicates, L keeps the order. What do you use for tags?", ["types", "modelling"]),
            ("C# SDK: OptimisticLocking and #reserved names", "ExpressionAttributeNames with a `#` in front: does the version attribute need one too?", ["sdk", "c#"]),
        ],
        [
            "One item per line is easier to update, and a Query still returns the whole order in one page.",
            "Adaptive capacity helps only after a few minutes; a burst at a full hour is over by then.",
            "TTL promises deletion within a few days, so filter on ExpiresAt in the query as well.",
            "Put a random suffix from 0 to 9 behind the key and read the ten shards in parallel.",
            "The console and the CLI keep all digits; it is the JSON parser of your language that makes a double of it.",
            "Check ConsumedCapacity with INDEXES, not TOTAL, then you see which index pays.",
            "A Query with Limit reads that many items *before* the filter, not after it.",
            "BatchWriteItem is not a transaction: look at UnprocessedItems every single time.",
            "Use attribute_not_exists(pk) as the condition and the second writer gets a clean error.",
            "An update that changes nothing still costs a write unit, but leaves no record in the stream.",
            "Strongly consistent reads are not possible on a global secondary index.",
            "We keep money as N with two decimals and it never bit us. As a double it did, on day one.",
            "On-demand starts at the previous peak; pre-warm the table if you expect more than twice of that.",
        ],
    ),
    "Amazon S3": (
        "Amazon Web Services",
        None,
        ["Nikki Wolf"],
        [
            ("Conditional writes with If-None-Match", "PutObject returned 409, not 412. Did the other writer win or not?", ["consistency", "api"]),
            ("503 Slow Down during the nightly export", "About 4,000 PUT requests per second on one prefix. Do we need random prefixes again, as in 2017?", ["throttling", "performance"]),
            ("Lifecycle rule does not expire old versions", "The rule is active since 14 days and the bucket keeps growing.", ["lifecycle", "versioning"]),
            ("Multipart uploads that nobody finished", "The bill shows 3 TB that no listing shows.", ["multipart", "cost"]),
            ("Listing 40 million keys", "ListObjectsV2 takes six hours. Is S3 Inventory the only way?", ["listing"]),
            ("Is the ETag always an MD5?", "For some objects it ends in -17 and our check fails.", ["etag", "checksum"]),
            ("Keys with spaces, plus signs and % signs", "s3://bucket/a b+c%20d.parquet is found by the CLI and not by our reader.", ["encoding"]),
        ],
        [
            "409 only says that another write was under way; read the object back and compare.",
            "Since 2018 the limit is per prefix and grows by itself, but not within seconds.",
            "An expiration rule only adds a delete marker. You need NoncurrentVersionExpiration for the old versions.",
            "Add AbortIncompleteMultipartUpload with seven days to every bucket, always.",
            "Inventory once a day, and an event queue for what happened since.",
            "With multipart it is the MD5 of the MD5s, and with SSE-KMS it is no MD5 at all. Use a SHA-256 checksum.",
            "A timeout proves nothing: the object may be there. Send the same bytes again under the same name.",
            "The plus sign is a plus sign in a key, but a space in a query string. Encode it as %2B.",
            "Reads after writes are strongly consistent since December 2020, listings too.",
            "Files of 128 MB to 512 MB are a good compromise between listing and parallel reads.",
            "We turned on the access logs for an hour and found the one job that listed the bucket in a loop.",
        ],
    ),
    "AWS Lambda": (
        "Amazon Web Services",
        None,
        ["Arnav Desai", "Martha Rivera"],
        [
            ("Partial batch responses for streams", "I return two batchItemFailures and Lambda retries records that were fine.", ["streams", "retry"]),
            ("Cold starts of a Rust function", "22 ms init on arm64 with 256 MB. Can anyone beat this?", ["rust", "performance"]),
            ("One poison record blocks the shard", "A single malformed item stopped our stream for 19 hours over the weekend.", ["streams", "errors"]),
            ("Recursive trigger filled my bill", "The function writes to the table whose stream triggers it. 11 million invocations before breakfast.", ["streams", "cost"]),
            ("Event filter never matches a number", "{\"dynamodb\":{\"NewImage\":{\"Price\":{\"N\":[{\"numeric\":[\">\",100]}]}}}} matches nothing.", ["filters"]),
            ("Layers or container images?", "Our native dependencies are 190 MB unpacked.", ["packaging"]),
        ],
        [
            "Return only the first failed sequence number; everything from the lowest one on is sent again anyway.",
            "Set MaximumRetryAttempts and an on-failure destination before you go live, the defaults are endless.",
            "BisectBatchOnFunctionError finds the bad record in log2(n) steps.",
            "DynamoDB sends N as a string, so numeric filters cannot match. Write a BOOL beside it and filter on that.",
            "Compare OldImage and NewImage first and leave early if nothing you care about has changed.",
            "Iterator age is the metric to alarm on. The error count stays at zero while you fall behind.",
            "Make the handler idempotent; the event ID is a good key for that.",
            "ParallelizationFactor keeps the order per partition key, so it is safe for us.",
            "The payload limit is 6 MB: a batch of large items is cut long before BatchSize.",
            "Recursive loop detection did not cover DynamoDB streams when we were hit.",
        ],
    ),
    "Amazon Kinesis": (
        "Amazon Web Services",
        None,
        ["Kwaku Mensah"],
        [
            ("Iterator age grows every morning", "From 07:30 to 09:00 the consumer falls 40 minutes behind, then catches up.", ["lag", "capacity"]),
            ("Resharding and the order of events", "After a split we saw an update before the insert of the same key.", ["shards", "ordering"]),
            ("Enhanced fan-out or polling?", "Three consumers on 12 shards, 200 ms would be nice, 1 s is fine.", ["consumers", "cost"]),
            ("KPL aggregates in a plain consumer", "The data begins with F3 89 9A C2 and is not JSON.", ["kpl", "decoding"]),
            ("Duplicate records after a timeout", "PutRecords timed out, we sent again, and now both are there.", ["producer", "retry"]),
            ("Microseconds or milliseconds?", "ApproximateCreationDateTime of our table's stream has 16 digits since yesterday.", ["dynamodb", "time"]),
        ],
        [
            "Finish the parents before you read a child shard, otherwise the order per key is gone.",
            "Two reads per shard and second are the limit for all polling consumers together.",
            "F3899AC2 is the magic number of a KPL aggregate. De-aggregate, then checkpoint with the sub-sequence number.",
            "Producers retry, so consumers must expect duplicates. Put an id of your own into the payload.",
            "A sequence number is larger than 64 bits. Compare the length first, then the text.",
            "MillisBehindLatest is zero at the tip. Export it, it is the most honest metric there is.",
            "Split by hash range, not by hope: look at IncomingBytes per shard first.",
            "The change records for DynamoDB can come twice and out of order; sort by the time of the change.",
            "On-demand mode doubles within 15 minutes, your morning peak is faster than that.",
            "An expired iterator is normal after five minutes without a call. Take a new one after the last record.",
        ],
    ),
    "Amazon Athena": (
        "Amazon Web Services",
        None,
        ["Sofía Martínez"],
        [
            ("HIVE_BAD_DATA after a column changed its type", "Price was double until Tuesday and is decimal since then.", ["parquet", "schema"]),
            ("Partition projection with a day column", "day=2026-11-20 is in the bucket, but the query returns zero rows and no error.", ["partitions"]),
            ("Too many small Parquet files", "1,440 files per day with 60 KB each. Planning takes longer than scanning.", ["parquet", "performance"]),
            ("decimal(38,9) overflows in SUM", "SUM(price) fails although no single value is larger than 10^12.", ["decimal"]),
            ("JSON text column or struct?", "We have a map with 300 different keys in the wild.", ["json", "schema"]),
        ],
        [
            "Never change a type in place. Add a column, and keep the old one until nobody reads it.",
            "The projection range must contain the day; NOW is UTC, your partition may not be.",
            "Roll the files by size *and* by age, and compact yesterday once.",
            "Cast to double for the sum, or to decimal(38,2) if cents are enough for you.",
            "json_extract_scalar is fast enough as long as the partition filter does its work.",
            "Sort by the column you filter on, then the row group statistics skip most of the file.",
            "Bloom filters help for equality on ids. They do nothing for ranges.",
            "DuckDB reads the same folder without any catalog, nice for a quick look.",
            "Column names are lower-cased, so two names that differ only in case collide.",
        ],
    ),
    "Amazon SQS": (
        "Amazon Web Services",
        None,
        ["Jorge Souza"],
        [
            ("Visibility timeout shorter than the work", "Messages of long jobs are delivered to a second worker.", ["timeouts"]),
            ("FIFO group stuck behind one message", "One message in flight blocks 900 others of its group. That's the idea, isn't it?", ["fifo"]),
            ("Redrive from the dead-letter queue", "StartMessageMoveTask moved everything back, including the broken ones.", ["dlq"]),
            ("256 KB are not enough", "Our item images reach 380 KB. Pointer to S3, or compress?", ["limits"]),
        ],
        [
            "Extend the timeout while you work: ChangeMessageVisibility every third of it.",
            "Choose a finer MessageGroupId. One group per customer, not one per table.",
            "Keep the reason beside the message, otherwise nobody knows in a week why it is there.",
            "Put the payload to S3 and send the key. Delete neither before the other is durable.",
            "At least once means at least once. We deduplicate on the event id for 24 hours.",
            "Long polling with 20 seconds made our bill 30 times smaller.",
            "A redrive with a rate limit, then watch the age of the oldest message.",
        ],
    ),
    "Introductions & Feedback": (
        "Community",
        "Say hello – 你好 – γειά σου – привіт 👋",
        ["User A"],
        [
            ("Hallo aus Köln 👋", "Ich bin neu hier und baue eine kleine Buchhandlung auf DynamoDB. Grüße an alle!", ["hello", "deutsch"]),
            ("はじめまして", "東京で DynamoDB と S3 を使っています。よろしくお願いします。", ["hello", "日本語"]),
            ("Feedback: dark mode 🌙", "Please. My eyes.", ["feedback"]),
            ("The search finds nothing for 100% / 50%", "Searching for \"100%\" returns an empty page, \"50%\" an error.", ["feedback", "bug"]),
        ],
        [
            "Welcome! Start with the thread about modelling, it saves you a month.",
            "Willkommen 🎉 – frag einfach, hier beißt niemand.",
            "ようこそ！",
            "+1 from our whole team.",
            "¡Bienvenida! Aquí se aprende mucho.",
            "Dark mode would be great, but please keep the contrast.",
            "I can reproduce this with Firefox, not with Chromium.",
            "Bonjour et bienvenue à tous les nouveaux.",
            "The percent sign is a wildcard in the search. It has to be escaped.",
        ],
    ),
    "AWS Snow Family": (
        "Amazon Web Services",
        None,
        ["Richard Roe"],
        [
            ("Which adapter for the network port?", "The box has SFP28, our switch does not.", ["hardware"]),
            ("Return label does not appear on the display", "The E-Ink display is blank since yesterday.", ["shipping"]),
        ],
        [
            "Order the one with RJ45, it does 10 GBASE-T.",
            "Hold the power button for ten seconds, the label comes back.",
            "We copied 60 TB in four days with s5cmd.",
        ],
    ),
}

OPENERS = [
    "", "", "", "", "Thanks for asking. ", "Same here. ", "We had exactly this last month. ", "Short answer first. ",
    "Two things. ", "Not quite. ", "We run this in production. ", "I'd start with the metrics. ", "Agreed. ", "Hm. ",
    "It depends. ", "Careful! ", "I see it differently. ", "+1. ",
]
CLOSERS = [
    "", "", "", "", " Hope that helps.", " Let us know how it went.", " 🙂", " Which region is this?",
    " What does CloudWatch say?", " It's in the developer guide, but well hidden.", " (Tested in eu-central-1.)",
    " YMMV.", " I'll try it tonight and report back.", " Does this also hold for global tables?",
    "\n\n    aws dynamodb describe-table --table-name Reply\n\nshows it.", " See the file C:\\temp\\trace.log\tline 12.",
    " Quote from support: \"works as designed\".", " Merci 🙏",
]
EDITS = [
    "\n\nEdit: typo.", "\n\nEdit: clarified the second sentence.", "\n\nUpdate: solved, thank you all!",
    "\n\nEdit: it is per second, not per minute.", "\n\nEdit: added the region.", "\n\nUpdate: still the case today.",
]
SPAM = [
    "Cheap watches!!! Click here >>> http://spam.example/?id=1&x=2",
    "I earn 9,000 € a week from home. Ask me how.",
    "Free certificates, no exam needed 💰💰💰",
]
GUEST_TEXT = [
    "I have no account yet, but I see the same behaviour.",
    "Posting as a guest: which SDK version is it?",
    "Would a larger page size help here?",
    "Is there a link to the documentation?",
    "Following this thread.",
    "Same question from me, eu-west-1.",
]

# === what the shop sells ===

BOOKS = [
    ("Book 101 Title", "111-1111111111", ["Author1"], "2", "8.5 x 11.0 x 0.5", 500),
    ("Book 102 Title", "222-2222222222", ["Author1", "Author2"], "20", "8.5 x 11.0 x 0.8", 600),
    ("Book 103 Title", "333-3333333333", ["Author1", "Author2"], "2000", "8.5 x 11.0 x 1.5", 600),
    ("Partition Keys for the Impatient", "978-0-00-000104-2", ["Saanvi Sarkar"], "34.95", "9.0 x 6.0 x 0.9", 312),
    ("Streams, Shards & Sequence Numbers", "978-0-00-000105-9", ["Kwaku Mensah", "Li Juan"], "41.5", "9.2 x 7.0 x 1.1", 428),
    ("Die Kunst des Sortierschlüssels", "978-0-00-000106-6", ["Jürgen Groß"], "29.9", "8.3 x 5.8 x 0.7", 256),
    ("分布式数据库入门", "978-0-00-000107-3", ["王秀英", "Zhang Wei"], "58", "10.2 x 7.2 x 0.8", 388),
    ("Le petit livre du lac de données", "978-0-00-000108-0", ["Sofía Martínez"], "19.99", "7.0 x 4.3 x 0.4", 144),
    ("Exactly Once: A Love Story", "978-0-00-000109-7", ["Jane Doe", "John Stiles"], "12.49", "7.8 x 5.1 x 0.6", 224),
    ("The 25-Hour Outage", "978-0-00-000110-3", ["Terry Whitlock"], "9.95", "7.8 x 5.1 x 0.5", 198),
    ("Columns, Not Rows", "978-0-00-000111-0", ["Ewa Żółkiewska"], "44", "9.2 x 7.0 x 1.0", 404),
    ("Numbers with 38 Digits", "978-0-00-000112-7", ["Δημήτρης Π."], "38.38", "9.0 x 6.0 x 0.5", 138),
]
BICYCLES = [
    ("18-Bike-201", "201 Description", "Road", "Mountain A", "100", ["Red", "Black"]),
    ("21-Bike-202", "202 Description", "Road", "Brand-Company A", "200", ["Green", "Black"]),
    ("19-Bike-203", "203 Description", "Road", "Brand-Company B", "300", ["Red", "Green", "Black"]),
    ("18-Bike-204", "204 Description", "Mountain", "Brand-Company B", "400", ["Red"]),
    ("20-Bike-205", "205 Description", "Hybrid", "Brand-Company C", "500", ["Red", "Black"]),
    ("22-Bike-206 \"Rheinaue\"", "Touring bike with hub dynamo", "Touring", "Brand-Company D", "1249.9", ["Blue"]),
    ("16-Bike-207 Kids", "For the first kilometres", "Kids", "Brand-Company C", "179.95", ["Yellow", "Pink"]),
    ("28-Bike-208 Cargo 🚲", "Carries two children or 80 kg", "Cargo", "Brand-Company D", "3899", ["Black"]),
    ("27-Bike-209 Gravel", "Between road and forest", "Gravel", "Mountain A", "1599.5", ["Olive", "Sand"]),
    ("20-Bike-210 Folding", "Fits into every train", "Folding", "Brand-Company B", "849", ["Silver"]),
]
ACCESSORIES = [
    ("Helmet \"Città\"", "59.9"), ("Rain jacket Größe M", "89.95"), ("Lock, 12 mm chain", "64.5"),
    ("Bell", "7.25"), ("Pump with gauge", "24.99"), ("Light set 70 lux", "79"), ("Pannier 22 l", "69.9"),
    ("Child seat", "129"), ("Repair kit", "5.49"), ("Mug \"I ♥ NoSQL\"", "11.5"), ("Sticker set", "2.5"),
    ("T-shirt SHARD_END", "19"),
]
WAREHOUSES = ["Berlin", "Milano", "Kraków"]
SWATCHES = {
    "Red": b"\xc8\x10\x2e", "Black": b"\x00\x00\x00", "Green": b"\x00\x84\x3d", "Blue": b"\x00\x38\xa8",
    "Yellow": b"\xff\xd1\x00", "Pink": b"\xf5\xa9\xb8", "Olive": b"\x70\x80\x38", "Sand": b"\xe0\xcd\xa9",
    "Silver": b"\xc0\xc0\xc0",
}


def thumbnail(dice):
    """A valid 4×4 PNG. Its deflate stream is one stored block, so no zlib version can change its bytes."""
    pixel = lambda: bytes((dice.below(256), dice.below(256), dice.below(256)))
    colours = [pixel(), pixel()]
    rows = b"".join(b"\x00" + b"".join(dice.pick(colours) for _ in range(4)) for _ in range(4))
    stored = b"\x78\x01\x01" + struct.pack("<HH", len(rows), len(rows) ^ 0xFFFF) + rows
    stored += struct.pack(">I", zlib.adler32(rows))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", stored) + chunk(b"IEND", b"")


class Shop:
    """ProductCatalog: a catalogue that is loaded, sold from, repriced and corrected."""

    SALES = 355
    REPRICINGS = 140
    REVIEWS = 80

    def __init__(self, world):
        self.world = world
        self.dice = world.dice
        self.table = Table(world, "ProductCatalog", ["Id"])
        loaded = OPENING
        for item in self.catalogue():
            world.later(loaded, self.table.put, item)
            loaded += 2 * SECOND
        for _ in range(self.SALES):
            world.later(working_hour(self.dice), self.sell)
        for _ in range(self.REPRICINGS):
            world.later(working_hour(self.dice), self.reprice)
        for _ in range(self.REVIEWS):
            world.later(working_hour(self.dice), self.review)
        for hour in range(9, 62, 7):
            world.later(OPENING + hour * HOUR, self.offer)
        world.later(at(18, 11), self.correct_page_count, "104")
        world.later(at(18, 14), self.migrate_authors)
        world.later(at(18, 15), self.vanish, "108", 3 * HOUR)
        world.later(at(19, 10), self.vanish, "206", 26 * MINUTE)
        world.later(at(19, 13), self.name_the_price)
        world.later(at(19, 16), self.stamp_lots)
        world.later(at(20, 9), self.vanish, "310", 0)
        world.later(at(20, 11), self.vanish, "103", 0)
        world.later(at(20, 12), self.rework_specimen)

    def catalogue(self):
        dice = self.dice
        stock = lambda: {"M": {place: N(dice.between(3, 60)) for place in WAREHOUSES}}
        for number, (title, isbn, authors, price, dimensions, pages) in enumerate(BOOKS, 101):
            yield {
                "Id": N(number),
                "Title": S(title),
                "Subtitle": S("" if dice.chance(0.6) else "With many examples"),
                "ISBN": S(isbn),
                # The guide shows both: a set here, a list there. An importer of ours writes sets.
                "Authors": SS(*authors) if number % 2 else L(*map(S, authors)),
                "Price": NULL if number == 111 else N(price),
                "Dimensions": S(dimensions),
                # A mistake of the importer, put right at 11:00.
                "PageCount": S(str(pages)) if number == 104 else N(pages),
                "InPublication": BOOL(number != 103),
                "ProductCategory": S("Book"),
                "Stock": stock(),
                **({"Thumbnail": B(thumbnail(dice))} if number % 3 == 0 else {}),
            }
        for number, (title, description, kind, brand, price, colours) in enumerate(BICYCLES, 201):
            yield {
                "Id": N(number),
                "Title": S(title),
                "Description": S(description),
                "BicycleType": S(kind),
                "Brand": S(brand),
                "Price": N(price),
                "Color": L(*map(S, colours)),
                "Swatches": BS(*(SWATCHES[colour] for colour in colours)),
                "ProductCategory": S("Bicycle"),
                "Stock": stock(),
                "Specs": M(
                    Gears=N(dice.pick([1, 3, 7, 8, 11, 21, 24])),
                    WeightKg=N(Decimal(dice.between(85, 340)) / 10),
                    Frame=M(Material=S(dice.pick(["Steel", "Aluminium", "Carbon"])), SizesCm=NS(48, 52, 56, 60)),
                    Motor=NULL,
                ),
            }
        for number, (title, price) in enumerate(ACCESSORIES, 301):
            yield {
                "Id": N(number),
                "Title": S(title),
                "Price": N(price),
                "ProductCategory": S("Accessory"),
                "Stock": stock(),
                "Labels": L() if dice.chance(0.4) else L(*map(S, dice.some(["new", "gift", "sale", "Öko"], 2))),
            }
        yield self.specimen()

    def specimen(self):
        """One product that nobody buys: every attribute type and the edges of each."""
        everything = {
            "text": S("Grüße 🚚 你好"), "empty": S(""), "quoted": S("{\"a\": \"\\\\\\n\"}"), "number": N("-17.5"),
            "digits38": N("12345678901234567890123456789012345678"), "bytes": B(b"\x00\x01\xfe\xff"), "noBytes": B(b""),
            "texts": SS("blue", "green", ""), "numbers": NS("-1", "2.5", "300"), "blobs": BS(b"\x00", b"\xff"),
            "nothing": NULL, "yes": BOOL(True), "no": BOOL(False), "emptyMap": M(), "emptyList": L(),
            "mixed": L(S("x"), N(1), BOOL(False), NULL, L(), M(k=SS("q")), B(b"deep")),
            "key with space, dot. and \"quotes\"": M(**{"": S("an empty name is not allowed at the top, but here")}),
        }
        return {
            "Id": N(900),
            "Title": S("Specimen (not for sale)"),
            "Price": N(0),
            "ProductCategory": S("Specimen"),
            "Everything": {"M": everything},
            "LotNumber": N("99999999999999999999999999999999999999"),
            "Tiny": N("0." + "0" * 129 + "1"),
            "Huge": N("9" * 38 + "0" * 88),
            "Negative": N("-0.000000001"),
            "Ratings": NS(1, "2.5", 4, 5),
            "Checksum": B(bytes(range(32))),
            "Empty": S(""),
            "Nothing": NULL,
        }

    def any_product(self):
        return self.dice.pick([key for key in self.table.items if key != ("900",)])

    def sell(self):
        """Small things go best."""
        key = self.any_product()
        if self.dice.chance(0.85):
            key = self.dice.pick([key for key in self.table.items if key[0].startswith("3")])
        stock = copy.deepcopy(self.table.items[key].get("Stock"))
        if not stock:
            return
        place = self.dice.pick(WAREHOUSES)
        left = int(stock["M"][place]["N"])
        left = left - self.dice.between(1, 3) if left > 3 else left + 40
        stock["M"][place] = N(left)
        self.table.update(key, {"Stock": stock})

    def reprice(self):
        key = self.any_product()
        price = self.table.items[key]["Price"]
        if price == NULL:
            return
        factor = Decimal(self.dice.between(90, 112)) / 100
        cents = (Decimal(price["N"]) * factor).quantize(Decimal("0.01"))
        changed = {"Price": N(cents), "PriceChangedAt": S(iso_ms(self.world.now))}
        self.table.update(key, changed)

    def review(self):
        key = self.any_product()
        item = self.table.items[key]
        ratings = [Decimal(n) for n in item.get("Ratings", {}).get("NS", [])]
        ratings.append(Decimal(self.dice.between(2, 10)) / 2)
        count = int(item.get("Reviews", {}).get("N", 0)) + 1
        self.table.update(key, {"Ratings": NS(*ratings), "Reviews": N(count)})

    def offer(self):
        """A weekend offer: an item of its own that TTL takes away."""
        dice = self.dice
        number = 500 + len([c for c in self.table.changes if c["op"] == "INSERT"])
        ends = self.world.now + dice.between(3, 9) * HOUR
        self.table.put({
            "Id": N(number),
            "Title": S("Offer: " + dice.pick(ACCESSORIES)[0]),
            "Price": N(Decimal(dice.between(199, 4999)) / 100),
            "ProductCategory": S("Offer"),
            "Discount": N(Decimal(dice.between(5, 40)) / 100),
            "ExpiresAt": N(ends // SECOND),
        })
        self.world.later(ends + dice.between(4, 70) * MINUTE, self.table.delete, (str(number),), True)

    def correct_page_count(self, number):
        pages = self.table.get(number)["PageCount"]["S"]
        self.table.update((number,), {"PageCount": N(pages)})

    def migrate_authors(self):
        """From now on Authors is a set everywhere; two books are forgotten."""
        for number in ("102", "104", "106", "110"):
            names = [name["S"] for name in self.table.get(number)["Authors"]["L"]]
            self.table.update((number,), {"Authors": SS(*names)})

    def vanish(self, number, pause):
        """Taken out of the catalogue, and (after a pause) put in again as it was, without its ratings."""
        old = self.table.get(number)
        self.table.delete((number,))
        if pause:
            again = {name: value for name, value in old.items() if name not in ("Ratings", "Reviews")}
            self.world.later(self.world.now + pause, self.table.put, again)

    def name_the_price(self):
        self.table.update(("111",), {"Price": N("44.00"), "Subtitle": S("Second edition")})

    def stamp_lots(self):
        """Lot numbers of 38 digits, and a cost with more decimals than any column keeps."""
        for key in list(self.table.items)[:8]:
            lot = self.dice.pick("123456789") + "".join(self.dice.pick("0123456789") for _ in range(37))
            cost = "%d.%s7" % (self.dice.between(1, 9), "".join(self.dice.pick("0123456789") for _ in range(36)))
            self.table.update(key, {"LotNumber": N(lot), "ExactCost": N(cost)})

    def rework_specimen(self):
        everything = copy.deepcopy(self.table.get("900")["Everything"])
        everything["M"]["mixed"]["L"].append(S("appended"))
        del everything["M"]["noBytes"]
        changed = {"Everything": everything, "Nothing": S("no longer"), "Empty": NULL, "Price": S("on request")}
        self.table.update(("900",), changed, removed=("Tiny",))


def working_hour(dice):
    """A moment when people are awake: three of four events fall between 07:00 and 21:00."""
    while True:
        moment = OPENING + 90 * SECOND + dice.below(CLOSING - OPENING - 90 * SECOND)
        hour = moment % DAY // HOUR
        if 7 <= hour < 21 or dice.chance(0.2):
            return moment


class Board:
    """Forum, Thread and Reply: people write, and a job keeps the counters.

    At closing time the counters agree with the items: Thread.Replies is the number of replies that are there,
    Forum.Threads and Forum.Messages count what is below the forum (a thread's first message is a message too).
    """

    REPLIES = 830
    THREAD_JOB = 14 * HOUR
    FORUM_JOB = 36 * MINUTE

    def __init__(self, world):
        self.world = world
        self.dice = world.dice
        self.forums = Table(world, "Forum", ["Name"])
        self.threads = Table(world, "Thread", ["ForumName", "Subject"])
        self.replies = Table(world, "Reply", ["Id", "ReplyDateTime"])
        self.touched = set()
        for index, name in enumerate(FORUMS):
            world.later(OPENING + 60 * SECOND + index * 3 * SECOND, self.open_forum, name)
        self.plan_threads()
        moment = OPENING + HOUR
        while moment < CLOSING - HOUR:
            world.later(moment, self.count_threads)
            moment += self.THREAD_JOB
        moment = OPENING + 20 * MINUTE
        while moment < CLOSING - 30 * MINUTE:
            world.later(moment, self.count_forums)
            moment += self.FORUM_JOB
        world.later(at(18, 17), self.announce, "Amazon DynamoDB", "Maintenance window tonight, 22:00 to 23:00 UTC", 6)
        world.later(at(19, 7), self.announce, "Introductions & Feedback", "Office hours today ☕", 9)
        world.later(at(19, 12), self.announce, "AWS Snow Family", "This forum closes tomorrow", 20)
        world.later(at(20, 6), self.announce, "Amazon S3", "Short interruption of the file upload", 5)
        world.later(at(19, 15), self.repost, "Amazon S3", "Is the ETag always an MD5?")
        world.later(at(20, 10), self.repost, "AWS Lambda", "Layers or container images?")
        world.later(at(18, 13), self.reopen_forum, "Amazon Athena")
        world.later(at(20, 14), self.close_forum, "AWS Snow Family")
        world.later(CLOSING - 2 * MINUTE, self.count_threads, True)
        world.later(CLOSING - MINUTE, self.count_forums, True)

    def plan_threads(self):
        dice = self.dice
        plans = []
        for name, (_, _, _, threads, _) in FORUMS.items():
            for subject, message, tags in threads:
                start = OPENING + 10 * MINUTE + dice.below(20 * HOUR if name != "AWS Snow Family" else 6 * HOUR)
                if name == "Amazon Athena":
                    start = max(start, at(18, 13, 30))
                if subject in ("Is the ETag always an MD5?", "Layers or container images?"):
                    start = min(start, at(19, 8))
                self.world.later(start, self.open_thread, name, subject, message, tags)
                plans.append((name, subject, start))
        for _ in range(self.REPLIES):
            # Half of the talk is about what stands first in the list.
            rank = dice.below(len(plans))
            if dice.chance(0.5):
                rank = rank * dice.below(len(plans)) // len(plans)
            name, subject, start = plans[rank]
            moment = working_hour(dice)
            while moment <= start:
                moment = working_hour(dice)
            self.world.later(moment, self.reply, name, subject)

    # --- forums ---

    def open_forum(self, name):
        category, description, moderators, _, _ = FORUMS[name]
        self.forums.put({
            "Name": S(name),
            "Category": S(category),
            **({"Description": S(description)} if description else {}),
            "Moderators": SS(*moderators),
            "Threads": N(0),
            "Messages": N(0),
            "Views": N(0),
        })

    def reopen_forum(self, name):
        """Somebody deletes a forum that is still empty, and a moderator opens it again."""
        self.forums.delete((name,))
        self.world.later(self.world.now + 4 * MINUTE, self.open_forum, name)

    def close_forum(self, name):
        """Everything below the forum goes first, then the forum."""
        for key in [key for key in self.threads.items if key[0] == name]:
            self.remove_thread(key)
        self.forums.delete((name,))

    def count_forums(self, last=False):
        for key in list(self.forums.items):
            forum = self.forums.items[key]
            threads = [thread for thread in self.threads.items if thread[0] == key[0]]
            prefix = key[0] + "#"
            messages = len(threads) + sum(reply[0].startswith(prefix) for reply in self.replies.items)
            views = int(forum["Views"]["N"])
            if not last and self.dice.chance(0.55):
                views += self.dice.below(12 + 3 * len(threads))
            changed = {"Threads": N(len(threads)), "Messages": N(messages), "Views": N(views)}
            self.forums.update(key, changed)

    # --- threads ---

    def open_thread(self, name, subject, message, tags, **more):
        if (name,) not in self.forums.items:
            return
        by = more.pop("by", None) or self.dice.pick(PEOPLE)
        self.threads.put({
            "ForumName": S(name),
            "Subject": S(subject),
            "Message": S(message),
            "LastPostedBy": S(by),
            "LastPostedDateTime": S(iso_ms(self.world.now)),
            "Views": N(0),
            "Replies": N(0),
            "Answered": N(0),
            "Tags": L(*map(S, tags)),
            **more,
        })

    def announce(self, name, subject, hours):
        """An announcement that TTL takes down."""
        ends = self.world.now + hours * HOUR
        more = {"Pinned": BOOL(True), "ExpiresAt": N(ends // SECOND)}
        moderator = FORUMS[name][2][0]
        self.open_thread(name, subject, "Please plan accordingly. Questions to the moderators.", [], by=moderator, **more)
        self.world.later(ends + self.dice.between(3, 50) * MINUTE, self.threads.delete, (name, subject), True)

    def remove_thread(self, key):
        for reply in [reply for reply in self.replies.items if reply[0] == "#".join(key)]:
            self.replies.delete(reply)
        self.threads.delete(key)

    def repost(self, name, subject):
        """A moderator removes a thread with all its replies; its author posts it again, politely."""
        self.remove_thread((name, subject))
        (message, tags) = next((m, t) for s, m, t in FORUMS[name][3] if s == subject)
        self.world.later(self.world.now + 17 * MINUTE, self.open_thread, name, subject, "Once more, and politely: " + message, tags)

    def count_threads(self, last=False):
        for key in list(self.threads.items):
            thread = self.threads.items[key]
            if key not in self.touched and not self.dice.chance(0.03):
                continue
            identity = "#".join(key)
            replies = [self.replies.items[reply] for reply in self.replies.items if reply[0] == identity]
            changed = {"Replies": N(len(replies))}
            if not last:
                changed["Views"] = N(int(thread["Views"]["N"]) + 4 * len(replies) + self.dice.below(30))
            if replies:
                newest = max(replies, key=lambda reply: reply["ReplyDateTime"]["S"])
                changed["LastPostedBy"] = newest["PostedBy"]
                changed["LastPostedDateTime"] = newest["ReplyDateTime"]
            self.threads.update(key, changed)
        self.touched.clear()

    # --- replies ---

    def reply(self, name, subject):
        if (name, subject) not in self.threads.items:
            return
        dice = self.dice
        posted = iso_ms(self.world.now)
        guest = dice.chance(0.11)
        item = {
            "Id": S(name + "#" + subject),
            "ReplyDateTime": S(posted),
            "Message": S(dice.pick(GUEST_TEXT) if guest else self.answer(name)),
            "PostedBy": S("guest-" + dice.hex(4) if guest else dice.pick(PEOPLE)),
        }
        key = (item["Id"]["S"], posted)
        if guest:
            ends = self.world.now + dice.between(6, 14) * HOUR
            item["ExpiresAt"] = N(ends // SECOND)
        elif dice.chance(0.04):
            item["Message"] = S(dice.pick(SPAM))
            self.world.later(self.world.now + dice.between(3, 200) * MINUTE, self.remove_reply, key)
        elif dice.chance(0.05):
            item["Attachment"] = B(bytes(dice.below(256) for _ in range(dice.between(8, 48))))
        elif dice.chance(0.06):
            item["Mentions"] = SS(*dice.some(PEOPLE, dice.between(1, 3)))
        self.replies.put(item)
        self.touched.add((name, subject))
        if guest:
            self.await_approval(key, ends)
        else:
            self.plan_afterlife(key)

    def answer(self, name):
        dice = self.dice
        said = dice.some(FORUMS[name][4], 1 if dice.chance(0.9) else 2)
        text = dice.pick(OPENERS) + " ".join(said) + dice.pick(CLOSERS)
        return text[0].upper() + text[1:]

    def await_approval(self, key, ends):
        """Guests' replies carry an ExpiresAt until a moderator approves them, by removing it."""
        dice = self.dice
        if dice.chance(0.3):
            self.world.later(self.world.now + dice.between(10, 300) * MINUTE, self.approve, key)
        else:
            self.world.later(ends + dice.between(2, 80) * MINUTE, self.expire, key)

    def approve(self, key):
        if key in self.replies.items:
            moderator = self.dice.pick(FORUMS[key[0].split("#")[0]][2])
            self.replies.update(key, {"ApprovedBy": S(moderator)}, removed=("ExpiresAt",))

    def expire(self, key):
        if key in self.replies.items:
            self.replies.delete(key, ttl=True)
            self.touched.add(self.thread_of(key))

    def plan_afterlife(self, key):
        dice, later, now = self.dice, self.world.later, self.world.now
        if dice.chance(0.13):
            later(now + dice.between(1, 90) * MINUTE, self.edit_reply, key)
        if dice.chance(0.15):
            later(now + dice.between(20, 900) * MINUTE, self.react, key)
        if dice.chance(0.05):
            later(now + dice.between(60, 1200) * MINUTE, self.accept, key)
        if dice.chance(0.05):
            later(now + dice.between(5, 600) * MINUTE, self.remove_reply, key, dice.chance(0.35))

    def edit_reply(self, key):
        item = self.replies.items.get(key)
        if item:
            message = item["Message"]["S"] + self.dice.pick(EDITS)
            self.replies.update(key, {"Message": S(message), "EditedAt": S(iso_ms(self.world.now))})

    def react(self, key):
        item = self.replies.items.get(key)
        if item:
            reactions = copy.deepcopy(item.get("Reactions", {"M": {}}))
            emoji = self.dice.pick(["👍", "👍", "🎉", "❤", "😕"])
            reactions["M"][emoji] = N(int(reactions["M"].get(emoji, N(0))["N"]) + 1)
            self.replies.update(key, {"Reactions": reactions})
            if self.dice.chance(0.4):
                self.world.later(self.world.now + self.dice.between(5, 400) * MINUTE, self.react, key)

    def accept(self, key):
        thread = self.threads.items.get(self.thread_of(key))
        if key in self.replies.items and thread and thread["Answered"] == N(0):
            self.replies.update(key, {"Accepted": BOOL(True)})
            self.threads.update(self.thread_of(key), {"Answered": N(1), "AcceptedReply": S(key[1])})

    def remove_reply(self, key, restored=False):
        item = self.replies.items.get(key)
        if item and "Accepted" not in item:
            self.replies.delete(key)
            self.touched.add(self.thread_of(key))
            if restored:
                self.world.later(self.world.now + self.dice.between(2, 120) * MINUTE, self.restore, item)

    def restore(self, item):
        """Deleted by mistake, and back under the same key."""
        key = self.thread_of((item["Id"]["S"], ""))
        if key in self.threads.items:
            self.replies.put({**item, "Restored": BOOL(True)})
            self.touched.add(key)

    @staticmethod
    def thread_of(key):
        return tuple(key[0].split("#", 1))


# === the four shapes ===


def compact(document):
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def sequence_numbers(dice):
    """Decimal strings that grow, as within one lineage of shards."""
    number = 1405400000000000000000000 + dice.below(1_000_000_000)
    while True:
        number += dice.between(1, 900)
        yield str(number)


def stream_record(table, change, sequence, dice, seconds, identity):
    record = {
        "eventID": dice.hex(32),
        "eventName": change["op"],
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": REGION,
        "dynamodb": {
            "ApproximateCreationDateTime": seconds(change["at"] // SECOND),
            "Keys": change["keys"],
            **({"NewImage": change["new"]} if change["new"] else {}),
            **({"OldImage": change["old"]} if change["old"] else {}),
            "SequenceNumber": next(sequence),
            "SizeBytes": change["size"],
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
    }
    if identity == "lambda":
        record["eventSourceARN"] = table.stream_arn()
        if change["ttl"]:
            record["userIdentity"] = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    elif change["ttl"]:
        record["userIdentity"] = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
    return record


def kinesis_lines(table, dice):
    for change in table.changes:
        identity = {"type": "Service", "principalId": "dynamodb.amazonaws.com"} if change["ttl"] else None
        yield compact({
            "awsRegion": REGION,
            "eventID": dice.uuid(),
            "eventName": change["op"],
            "userIdentity": identity,
            "recordFormat": "application/json",
            "tableName": table.name,
            "dynamodb": {
                "ApproximateCreationDateTime": change["at"],
                "Keys": change["keys"],
                **({"NewImage": change["new"]} if change["new"] else {}),
                **({"OldImage": change["old"]} if change["old"] else {}),
                "SizeBytes": change["size"],
                "ApproximateCreationDateTimePrecision": "MICROSECOND",
            },
            "eventSource": "aws:dynamodb",
        })


def stream_lines(table, dice):
    sequence = sequence_numbers(dice)
    for change in table.changes:
        record = stream_record(table, change, sequence, dice, int, "streams")
        record["eventSourceARN"] = table.stream_arn()
        yield compact(record)


def lambda_document(table, dice):
    sequence = sequence_numbers(dice)
    records = [stream_record(table, change, sequence, dice, int, "lambda") for change in table.changes]
    return json.dumps({"Records": records}, ensure_ascii=True, indent=1)


def page_lines(table, dice):
    """Pages as GetRecords gives them: of any length, now and then empty; the last one of a closed shard has no iterator."""
    sequence = sequence_numbers(dice)
    records = [stream_record(table, change, sequence, dice, float, "streams") for change in table.changes]
    while records:
        count = 0 if dice.chance(0.12) else dice.between(1, 50)
        page, records = records[:count], records[count:]
        token = base64.b64encode(bytes(dice.below(256) for _ in range(48))).decode("ascii")
        iterator = "%s|1|%s" % (table.stream_arn(), token) if records else None
        yield compact({"Records": page, "NextShardIterator": iterator, "StreamArn": table.stream_arn()})


def expected(tables):
    """What a reader of these files must find."""
    described = {}
    for table, path in tables:
        days = {}
        for change in table.changes:
            day = iso_ms(change["at"])[:10]
            days[day] = days.get(day, 0) + 1
        described[table.name] = {
            "file": path,
            "keys": table.keys,
            "changes": table.written,
            "changes_by_day": days,
            "ttl_removals": table.ttl_removals,
            "live_items": len(table.items),
        }
    total = {
        "changes": sum(sum(table.written.values()) for table, _ in tables),
        "ttl_removals": sum(table.ttl_removals for table, _ in tables),
        "live_items": sum(len(table.items) for table, _ in tables),
    }
    note = "written by tests/tools/make_quickstart.py; do not edit"
    return json.dumps({"note": note, "tables": described, "total": total}, ensure_ascii=False, indent=2)


def build():
    """All files, as path and text."""
    world = World(Dice(SEED))
    shop, board = Shop(world), Board(world)
    world.run()
    folder = "pipelines/quickstart/"
    lines = lambda shape, table, seed: "\n".join(shape(table, Dice(SEED + seed)))
    tables = [
        (shop.table, folder + "product-catalog.ndjson"),
        (board.forums, folder + "forum.ndjson"),
        (board.threads, folder + "thread.json"),
        (board.replies, folder + "reply.ndjson"),
    ]
    return {
        tables[0][1]: lines(kinesis_lines, shop.table, 1),
        tables[1][1]: lines(stream_lines, board.forums, 2),
        tables[2][1]: lambda_document(board.threads, Dice(SEED + 3)),
        tables[3][1]: lines(page_lines, board.replies, 4),
        "tests/fixtures/quickstart-expected.json": expected(tables),
    }


def main(arguments):
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    stale = 0
    for path, text in build().items():
        data = (text + "\n").encode("utf-8")
        target = ROOT / path
        if not arguments:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            print("%8d bytes  %s" % (len(data), path))
        elif not target.exists() or target.read_bytes() != data:
            print("differs: %s" % path, file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
