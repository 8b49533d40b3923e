"""What do the writers write? The guide's tables, a seeded source of items with every attribute type and every known trap, and the
one canonical form in which images are compared.

Everything here is DynamoDB JSON with binary values as base64 text (the form of the wire, the history file and the lake's `_rest`).
"""

import base64
import decimal
import json

# Name -> (partition key, sort key or None), each with its type. The AWS developer guide's sample tables.
TABLES = {
    "ProductCatalog": (("Id", "N"), None),
    "Forum": (("Name", "S"), None),
    "Thread": (("ForumName", "S"), ("Subject", "S")),
    "Reply": (("Id", "S"), ("ReplyDateTime", "S")),
}

EXACT = decimal.Context(prec=400, Emin=-999999, Emax=999999)  # never rounds a DynamoDB number

NUMBERS = [
    "0", "-0", "1", "-1", "1.50", "0012.500", "1e2", "-17.5", "19.99", "0.000000001", "0.0000000001", "1E-130", "-1E-130",
    "9.99E125", "-9.9999999999999999999999999999999999999E+125", "12345678901234567890123456789012345678",
    "-99999999999999999999999999999999999999", "1.2345678901234567890123456789012345678",
    "99999999999999999999999999999.123456789",
    "100000000000000000000000000000", "9007199254740993", "9223372036854775808", "0.1",
]
STRINGS = [
    "", " ", "plain", "Grüße 🚚 你好", "line\nbreak\ttab", 'quote " and \\ backslash', "null", "NaN", "a,b=c/d%2F",
    "\u0000nul", "\u2028", "e\u0301 is not \u00e9", "\U0010ffff", "../..", "x" * 3000,
]
BINARIES = [b"", b"\x00", b"\x00\x01\xfe\xff", b"text", bytes(range(256))]


def number(text):
    """The canonical plain decimal of an N: no exponent, no padding zeros, no -0. So DynamoDB returns it."""
    value = EXACT.create_decimal(text)
    if not value.is_finite():
        raise ValueError(f"not a number: {text}")
    if value == 0:
        return "0"
    plain = format(value, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def b64(data):
    return base64.b64encode(data).decode()


def normal(value):
    """One attribute value in canonical form: numbers plain, sets sorted. Two values are equal if and only if their normal forms are."""
    ((kind, inner),) = value.items()
    if kind == "N":
        return {"N": number(inner)}
    if kind == "NS":
        return {"NS": sorted(number(n) for n in inner)}
    if kind in ("SS", "BS"):
        return {kind: sorted(inner)}
    if kind == "M":
        return {"M": {name: normal(v) for name, v in inner.items()}}
    if kind == "L":
        return {"L": [normal(v) for v in inner]}
    if kind in ("S", "B", "BOOL", "NULL"):
        return {kind: inner}
    raise ValueError(f"unknown type {kind}")


def image(item):
    """A whole item in canonical form; None stays None."""
    return None if item is None else {name: normal(v) for name, v in item.items()}


def text(thing):
    """Canonical text, usable as a dictionary key."""
    return json.dumps(thing, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


class Source:
    """A seeded stream of keys and values. The same seed gives the same items."""

    def __init__(self, random, hot=6, cold=400):
        self.random = random
        self.hot = hot
        self.cold = cold

    def key(self, table):
        """Few hot keys take most of the changes, many cold keys the rest."""
        r = self.random
        i = r.randrange(self.hot) if r.random() < 0.7 else self.hot + r.randrange(self.cold)
        if table == "ProductCatalog":
            spelling = r.choice(["{}", "{}.0", "0{}", "{}e0"]) if i else "-0.50"
            return {"Id": {"N": spelling.format(100 + i)}}
        forum = ["Amazon DynamoDB", "Amazon S3", "Forum/with=odd %chars", "Ünï 😀"][i % 4]
        if table == "Forum":
            return {"Name": {"S": f"{forum} {i}"}}
        if table == "Thread":
            return {"ForumName": {"S": forum}, "Subject": {"S": f"Thread {i}"}}
        when = f"2015-09-{1 + i % 28:02}T19:58:{i % 60:02}.{i:03}Z"
        return {"Id": {"S": f"{forum}#Thread {i % 10}"}, "ReplyDateTime": {"S": when}}

    def number(self):
        r = self.random
        return r.choice(NUMBERS) if r.random() < 0.5 else f"{r.randrange(-10**6, 10**6)}.{r.randrange(100)}"

    def string(self):
        r = self.random
        return r.choice(STRINGS) if r.random() < 0.5 else f"text {r.randrange(10**6)}"

    def binary(self):
        r = self.random
        return b64(r.choice(BINARIES) if r.random() < 0.5 else r.randbytes(r.randrange(1, 40)))

    def some(self, make):
        """A set needs one member at least and no member twice."""
        return sorted({make() for _ in range(self.random.randrange(1, 5))})

    def numbers(self):
        """Members of an NS must differ by value."""
        return list({number(n): n for n in (self.number() for _ in range(self.random.randrange(1, 5)))}.values())

    def map(self, depth):
        r = self.random
        names = ["a", "b.c", "Ключ", "S", "N", "SS", "B", "NULL", "x y"]
        if r.random() < 0.15:  # looks like a set or a binary in DynamoDB JSON, but is a map
            return r.choice([{"SS": {"L": [{"S": "q"}]}}, {"B": {"S": "AAEC"}}, {"NS": {"L": [{"S": "1"}]}}, {"BS": {"L": []}}])
        picked = r.sample(names, r.randrange(4))
        return {name: self.value(depth - 1) for name in picked}

    def value(self, depth=3):
        r = self.random
        kinds = ["S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS"] + (["M", "L", "M", "L"] if depth else [])
        return self.of(r.choice(kinds), depth)

    def of(self, kind, depth=3):
        r = self.random
        make = {
            "S": self.string,
            "N": self.number,
            "B": self.binary,
            "BOOL": lambda: r.random() < 0.5,
            "NULL": lambda: True,
            "SS": lambda: self.some(self.string),
            "NS": self.numbers,
            "BS": lambda: self.some(self.binary),
            "M": lambda: self.map(depth),
            "L": lambda: [self.value(depth - 1) for _ in range(r.randrange(4))],
        }
        return {kind: make[kind]()}

    def attribute(self, table):
        """One (name, value) that is not a key attribute of the table. Most names have one type; the last ones are the traps."""
        r = self.random
        name, kinds = r.choice([
            ("Title", "S"), ("Price", "N"), ("InPublication", "BOOL"), ("Thumb", "B"), ("Tags", "L"), ("Meta", "M"),
            ("Colors", "SS"), ("Scores", "NS"), ("Blobs", "BS"), ("Nothing", "NULL"), ("PageCount", "N"), ("Category", "S"),
            ("Authors", "SS L"), ("Shifty", "S N"), ("Any", "S N B BOOL NULL SS NS BS M L"), ("Case", "S"), ("case", "S"), ("CASE", "N"),
            ("_op", "S"), ("_rest", "S"), ("_old", "M"), ("day", "S"), ("a.b", "N"), ("a=b", "S"), ("with space", "S"), ("😀", "S"),
            ("Deep", "deep"),
        ])
        kind = r.choice(kinds.split())
        if kind == "deep":
            value = {"S": "bottom"}
            for level in range(28):  # the service allows 32 levels
                value = {"L": [value]} if level % 2 else {"M": {"d": value}}
            return name, value
        return name, self.of(kind)

    def attributes(self, table):
        """The non-key part of a new item."""
        made = dict(self.attribute(table) for _ in range(self.random.randrange(0, 9)))
        made["Counter"] = {"N": str(self.random.randrange(100))}
        if table == "Reply":  # keys of its index PostedBy-Message-Index: strings, never empty
            made["PostedBy"] = {"S": self.random.choice(["User A", "User B"])}
            made["Message"] = {"S": f"Reply {self.random.randrange(1000)} text"}
        return made
