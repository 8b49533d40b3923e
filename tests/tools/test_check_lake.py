"""Does the judge see every fault? A small lake is written by hand, accepted, then spoilt in one way at a time.

    python -m unittest discover -s tests/tools        (with the Python of setup.sh's venv)
"""

import contextlib
import copy
import datetime
import decimal
import io
import json
import pathlib
import tempfile
import unittest
import unittest.mock

import pyarrow
import pyarrow.parquet as parquet

import check_lake
import storage

DECIMAL = pyarrow.decimal128(38, 9)
INFO = pyarrow.struct([
    ("Lang", pyarrow.string()),
    ("a b", pyarrow.list_(pyarrow.struct([("Rough", pyarrow.float64()), ("Raw", pyarrow.string())]))),
    ("Blob", pyarrow.binary()),
    ("On", pyarrow.bool_()),
])
COLUMNS = [  # attribute, column, type, storage, Arrow type
    ("Id", "Id", "S", "string", pyarrow.string()),
    ("ReplyDateTime", "ReplyDateTime", "S", "string", pyarrow.string()),
    ("Rating", "Rating", "N", "decimal(38,9)", DECIMAL),
    ("Case", "Case", "S", "string", pyarrow.string()),
    ("case", "case_2", "S", "string", pyarrow.string()),
    ("Done", "Done", "BOOL", "bool", pyarrow.bool_()),
    ("Views", "Views", "N", "int64", pyarrow.int64()),
    ("Exact", "Exact", "N", "string", pyarrow.string()),
    ("Rough", "Rough", "N", "double", pyarrow.float64()),
    ("Thumb", "Thumb", "B", "binary", pyarrow.binary()),
    ("Tags", "Tags", "SS", "list<string>", pyarrow.list_(pyarrow.string())),
    ("Scores", "Scores", "NS", "list<decimal(38,9)>", pyarrow.list_(DECIMAL)),
    ("Blobs", "Blobs", "BS", "list<binary>", pyarrow.list_(pyarrow.binary())),
    ("Meta", "Meta", "JSON", "json", pyarrow.string()),
    ("Info", "Info", "M", "struct<Lang: string, `a b`: list<struct<Rough: double, Raw: json>>, Blob: binary, On: bool>", INFO),
    ("Rows", "Rows", "L", "list<list<decimal(38,9)>>", pyarrow.list_(pyarrow.list_(DECIMAL))),
]
KEYS = {"Id": {"S": "Amazon S3#Thread"}, "ReplyDateTime": {"S": "2015-09-22"}}
OLD_SHARD = "shardId-00000001795359353026-ffffffff"
NEW_SHARD = "shardId-00000001795359431179-00000000"

IMAGES = [
    {**KEYS, "Rating": {"N": "4.5"}, "Case": {"S": ""}, "case": {"S": "other"}, "Done": {"BOOL": False}, "Views": {"N": "-3"}},
    {**KEYS, "Exact": {"N": "0." + "0" * 129 + "1"}, "Rough": {"N": "0.1000000000000000000001"}, "Thumb": {"B": ""},
     "Tags": {"SS": ["b", "a"]}, "Scores": {"NS": ["100", "-1.5"]}, "Blobs": {"BS": ["AA==", "/w=="]}},
    {**KEYS, "Rating": {"S": "five"}, "Nothing": {"NULL": True}, "Meta": {"M": {
        "n": {"N": "12345678901234567890123456789012345678"},
        "l": {"L": [{"NULL": True}, {"SS": ["q"]}, {"B": "AAE="}, {"M": {}}, {"S": "x"}]},
        "two": {"M": {"SS": {"S": "a map"}, "B": {"BOOL": True}}}}},
     "Info": {"M": {"Lang": {"S": "de"}, "On": {"BOOL": False}, "a b": {"L": [
         {"M": {}}, {"M": {"Rough": {"N": "0.1000000000000000000001"}, "Raw": {"L": [{"N": "1"}]}}}]}}},
     "Rows": {"L": [{"L": []}, {"L": [{"N": "1.5"}, {"N": "1.5"}]}]}},
]
CELLS = [  # the same images as the lake's cells
    {"Rating": decimal.Decimal("4.5"), "Case": "", "case_2": "other", "Done": False, "Views": -3},
    {"Exact": "0." + "0" * 129 + "1", "Rough": 0.1, "Thumb": b"", "Tags": ["a", "b"],
     "Scores": [decimal.Decimal("-1.5"), decimal.Decimal(100)], "Blobs": [b"\xff", b"\x00"]},
    {"Meta": '{"n":12345678901234567890123456789012345678,"l":[null,{"SS":["q"]},{"B":"AAE="},{},"x"],"two":{"SS":"a map","B":true}}',
     "_rest": '{"Rating":{"S":"five"},"Nothing":{"NULL":true}}',
     "Info": {"Lang": "de", "On": False, "Blob": None, "a b": [{"Rough": None, "Raw": None}, {"Rough": 0.1, "Raw": "[1]"}]},
     "Rows": [[], [decimal.Decimal("1.5"), decimal.Decimal("1.5")]]},
]
INFO_CELL = CELLS[2]["Info"]
KEY_CELLS = {"Id": "Amazon S3#Thread", "ReplyDateTime": "2015-09-22"}


def history():
    steps = [("INSERT", None, 0), ("MODIFY", 0, 1), ("MODIFY", 1, 2), ("REMOVE", 2, None)]
    pick = lambda i: None if i is None else IMAGES[i]  # noqa: E731
    return [{"table": "Reply", "keys": KEYS, "op": op, "new": pick(new), "old": pick(old)} for op, old, new in steps]


def row(op, shard, number, new, old):
    cells = {
        "_op": op, "_ttl": False, "_changed_at": datetime.datetime(2026, 11, 22, tzinfo=datetime.timezone.utc), "_shard": shard,
        "_sequence": f"021{number:021}", "_sub": 0, "_generation": 0, "_event_id": f"event {number}", **KEY_CELLS,
        "_old": None if old is None else {**KEY_CELLS, **CELLS[old]},
    }
    return cells | (CELLS[new] if new is not None else {})


def rows():
    return [
        row("INSERT", OLD_SHARD, 7, 0, None), row("MODIFY", OLD_SHARD, 8, 1, 0),
        row("MODIFY", NEW_SHARD, 10, 2, 1), row("REMOVE", NEW_SHARD, 11, None, 2),
    ]


def write(folder, name, rows, columns=COLUMNS):
    fields = [pyarrow.field(column, arrow) for _, column, _, _, arrow in columns]
    rest = pyarrow.field("_rest", pyarrow.string())
    meta = [
        ("_op", pyarrow.string()), ("_ttl", pyarrow.bool_()), ("_changed_at", pyarrow.timestamp("us", "UTC")), ("_shard", pyarrow.string()),
        ("_sequence", pyarrow.string()), ("_sub", pyarrow.int32()), ("_generation", pyarrow.int64()), ("_event_id", pyarrow.string()),
    ]
    schema = pyarrow.schema(meta + fields + [rest, pyarrow.field("_old", pyarrow.struct(fields + [rest]))])
    path = pathlib.Path(folder, "Reply", "day=2026-11-22", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), path)


class CheckLake(unittest.TestCase):
    def judge(self, rows, lines=None, split=2, **options):
        """Writes the rows as two files, the first with an older schema, and asks the judge."""
        with tempfile.TemporaryDirectory() as folder:
            first = [c for c in COLUMNS if c[0] not in ("Meta", "Info", "Rows")]
            write(folder, "a.parquet", rows[:split], first)
            write(folder, "b.parquet", rows[split:])
            chain = pathlib.Path(folder, "_watershed", "schema", "Reply")
            chain.mkdir(parents=True)
            (chain / "000001.json").write_text('{"table":"Reply","version":1,"columns":[]}')
            columns = [
                {"attribute": a, "column": c, "type": t, "storage": s, "key": a in KEYS} for a, c, t, s, _ in COLUMNS
            ]
            (chain / "000002.json").write_text(json.dumps({"table": "Reply", "version": 2, "columns": columns}))
            # What lies below _watershed is bookkeeping, not data.
            (chain / "not-data.parquet").write_text("not Parquet")
            log = pathlib.Path(folder, "history.ndjson")
            log.write_text("".join(json.dumps(line) + "\n" for line in (history() if lines is None else lines)))
            with contextlib.redirect_stderr(io.StringIO()) as self.examples:
                return check_lake.check(folder, log, **options)

    def assert_faults(self, report, **faults):
        self.assertEqual({k: n for k, n in report.faults.items() if n}, faults, self.examples.getvalue())

    def test_exact_lake_is_accepted(self):
        report = self.judge(rows())
        self.assert_faults(report)
        self.assertEqual((report.rows, report.files), (4, 2))

    def test_lost(self):
        self.assert_faults(self.judge(rows()[:2] + rows()[3:]), lost=1)

    def test_lost_end(self):
        self.assert_faults(self.judge(rows()[:3]), lost=1, wrong_final=1)

    def test_partial_may_miss_the_end_only(self):
        self.assert_faults(self.judge(rows()[:3], allow_partial=True))
        self.assert_faults(self.judge(rows()[:1] + rows()[2:3], split=1, allow_partial=True), lost=1)

    def test_lost_item(self):
        keys = {**KEYS, "Id": {"S": "other"}}
        other = {"table": "Reply", "keys": keys, "op": "INSERT", "new": keys, "old": None}
        self.assert_faults(self.judge(rows(), history() + [other]), lost=1)

    def test_twice_at_the_same_position(self):
        self.assert_faults(self.judge(rows() + rows()[3:]), twice=1)

    def test_twice_at_another_position(self):
        again = {**rows()[3], "_sequence": f"021{12:021}"}
        self.assert_faults(self.judge(rows() + [again]), twice=1)

    def test_swapped(self):
        swapped = rows()
        swapped[0]["_sequence"], swapped[1]["_sequence"] = swapped[1]["_sequence"], swapped[0]["_sequence"]
        self.assert_faults(self.judge(swapped), reordered=1)

    def test_swapped_across_shards(self):
        swapped = rows()
        swapped[1]["_shard"], swapped[2]["_shard"] = swapped[2]["_shard"], swapped[1]["_shard"]
        self.assert_faults(self.judge(swapped), reordered=1)

    def test_changed_values(self):
        changes = {
            0: [("Rating", decimal.Decimal("4.500000001")), ("Case", None), ("case_2", "Other"), ("Done", True), ("Views", 3),
                ("_op", "MODIFY"), ("_old", KEY_CELLS), ("_rest", '{"Extra":{"NULL":true}}'), ("_rest", '{"Case":{"S":""}}'),
                ("_rest", "{")],
            1: [("Exact", "1E-130"), ("Rough", 0.2), ("Thumb", None), ("Tags", ["a"]), ("Tags", []), ("Scores", [decimal.Decimal(100)]),
                ("Blobs", [b"\x00", b"\xfe"]), ("_old", None)],
            2: [("Meta", CELLS[2]["Meta"].replace("678,", "679,")), ("Meta", CELLS[2]["Meta"].replace('"q"', '"p"')),
                ("Meta", CELLS[2]["Meta"].replace("{}", "[]")), ("Meta", '{"n":1,"n":1}'), ("_rest", None),
                ("Info", None), ("Info", {**INFO_CELL, "Lang": None}), ("Info", {**INFO_CELL, "Blob": b""}),
                ("Info", {**INFO_CELL, "a b": INFO_CELL["a b"][1:]}), ("Info", {**INFO_CELL, "a b": [{}, {"Rough": 0.2, "Raw": "[1]"}]}),
                ("Info", {**INFO_CELL, "a b": [{}, {"Rough": 0.1, "Raw": "1"}]}), ("Rows", [[], [decimal.Decimal("1.5")]]),
                ("Rows", [[], [decimal.Decimal("1.5"), None]]), ("Rows", [])],
        }
        for index, cells in changes.items():
            for column, value in cells:
                with self.subTest(index=index, column=column, value=value):
                    spoilt = copy.deepcopy(rows())
                    spoilt[index][column] = value
                    report = self.judge(spoilt)
                    self.assertEqual(report.faults["wrong_images"], 1, self.examples.getvalue())
                    self.assertEqual(report.faults["lost"], 0, self.examples.getvalue())

    def test_a_nested_double_may_have_its_digits_in_rest(self):
        whole = copy.deepcopy(rows())
        info = json.dumps(IMAGES[2]["Info"])
        for cells in (whole[2], whole[3]["_old"]):
            cells["Info"] = None
            cells["_rest"] = cells["_rest"].replace("{", f'{{"Info":{info},', 1)
        self.assert_faults(self.judge(whole))

    def test_column_types_are_read(self):
        self.assertEqual(
            storage.parse("list<struct<a: decimal(5,2), `x``: >`: list<json>, list: bool>>"),
            ("list", ("struct", {"a": "decimal(5,2)", "x`: >": ("list", "json"), "list": "bool"})),
        )
        for wrong in ["list<string", "struct<a json>", "string>", "struct<é: json>"]:
            with self.assertRaises((ValueError, IndexError)):
                storage.parse(wrong)

    def test_example_names_the_attribute(self):
        spoilt = rows()
        spoilt[1]["Tags"] = ["a"]
        self.judge(spoilt)
        self.assertIn('new.Tags is {"SS":["a"]}, not {"SS":["a","b"]}', self.examples.getvalue())

    def test_sequence_must_be_length_prefixed(self):
        spoilt = rows()
        spoilt[0]["_sequence"] = "7"
        self.assertGreater(self.judge(spoilt).faults["wrong_images"], 0)

    def test_snapshot_rows_hold_a_state_of_the_item(self):
        snapshot = {**rows()[1], "_op": "SNAPSHOT", "_old": None, "_shard": None, "_sequence": None}
        report = self.judge(rows() + [snapshot])
        self.assert_faults(report)
        self.assertEqual(report.snapshots, 1)
        self.assert_faults(self.judge(rows() + [{**snapshot, "Rough": 7.0}]), wrong_images=1)

    def test_views(self):
        keys_only = [{**{k: v for k, v in r.items() if k.startswith("_")}, **KEY_CELLS, "_old": None, "_rest": None} for r in rows()]
        self.assert_faults(self.judge(keys_only, view="KEYS_ONLY"))
        self.assert_faults(self.judge([{**r, "_old": None} for r in rows()], view="NEW_IMAGE"))
        self.assertEqual(self.judge(rows(), view="NEW_IMAGE").faults["wrong_images"], 3)

    def test_readers_must_agree(self):
        with unittest.mock.patch("check_lake.read_duckdb", lambda files: check_lake.read_pyarrow(files[:1])):
            self.assert_faults(self.judge(rows()), readers_disagree=2)

    def test_empty_lake(self):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            log = pathlib.Path(folder, "history.ndjson")
            log.write_text("".join(json.dumps(line) + "\n" for line in history()))
            missing = pathlib.Path(folder, "lake")
            self.assertEqual(check_lake.check(missing, log).faults["lost"], 4)
            self.assertEqual(check_lake.check(missing, log, allow_partial=True).faults["lost"], 0)


if __name__ == "__main__":
    unittest.main()
