"""What does the `storage` of a column in the lake's schema say? `decimal(5,2)`, `list<int64>`, ``struct<Lang: string, `a b`: json>``.

A scalar type is its text, a list ("list", element), a struct ("struct", {member: type}).
"""

import re

TOKEN = re.compile(r"\s*(decimal\([\d ,]*\)|`(?:[^`]|``)*`|[\w-]+|[<>:,])", re.ASCII)


def parse(text):
    tokens = TOKEN.findall(text)
    if re.sub(r"\s", "", "".join(tokens)) != re.sub(r"\s", "", text):
        raise ValueError(f"not a column type: {text}")
    kind, rest = one(tokens)
    if rest:
        raise ValueError(f"something follows the column type: {text}")
    return kind


def one(tokens):
    head, *rest = tokens
    if rest[:1] != ["<"] or head not in ("list", "struct"):
        return head, rest
    if head == "list":
        element, rest = one(rest[1:])
        return ("list", element), closed(rest)
    members = {}
    while rest[0] != ">":  # behind `<` or `,`
        name, colon, *rest = rest[1:]
        if colon != ":":
            raise ValueError(f"no type behind {name}")
        name = name[1:-1].replace("``", "`") if name.startswith("`") else name
        members[name], rest = one(rest)
    return ("struct", members), closed(rest)


def closed(tokens):
    if tokens[:1] != [">"]:
        raise ValueError(f"expected `>`, found {tokens[:1]}")
    return tokens[1:]


def field(name):
    """The name in the files of a struct's member."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "_", name)


def has_double(kind):
    if isinstance(kind, str):
        return kind == "double"
    inside = [kind[1]] if kind[0] == "list" else kind[1].values()
    return any(map(has_double, inside))
