//! DynamoDB exports made by a test, and those that were captured.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use watershed::source::export::manifest::md5_base64;

use super::{http, tools};

/// Copies a captured export, `export_full` or `export_incremental`, and answers the export's own folder.
pub fn captured(name: &str, into: &Path) -> PathBuf {
    let from = tools().repository("tests/fixtures").join(name);
    let mut own = None;
    for (path, _) in super::files_below(&from) {
        let to = into.join(name).join(&path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from.join(&path), &to).unwrap();
        if path.ends_with("manifest-summary.json") {
            own = Some(to.parent().unwrap().to_owned());
        }
    }
    own.unwrap()
}

/// The lines of all data files of an export's folder and of the one beside it.
pub fn lines_of(export: &Path) -> Vec<Value> {
    let root = export.parent().unwrap();
    let mut lines = Vec::new();
    for (path, _) in super::files_below(root).into_iter().filter(|(path, _)| path.ends_with(".gz")) {
        let file = fs::File::open(root.join(path)).unwrap();
        let text = std::io::read_to_string(flate2::read::MultiGzDecoder::new(file)).unwrap();
        lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    lines
}

/// A table that is made up: each item is a function of the seed, its number and its version, so that none is held in memory.
#[derive(Debug, Clone, Copy)]
pub struct Invented {
    pub items: u64,
    pub seed: u64,
}

impl Invented {
    fn random(self, at: u64, version: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_mul(0x9e37_79b9) ^ at << 8 ^ version)
    }

    fn item(self, at: u64, version: u64) -> Value {
        let mut random = self.random(at, version);
        let number = random.random_range(0..1_000_000_u64);
        let mut item = json!({"Id": {"S": format!("item-{at}")}, "Version": {"N": version.to_string()}});
        item["Number"] = match random.random_range(0..20) {
            0 => json!({"N": "12345678901234567890123456789012345678"}),
            1 => json!({"N": format!("-0.{number:012}")}),
            2 => json!({"S": number.to_string()}),
            _ => json!({"N": number.to_string()}),
        };
        if random.random_bool(0.3) {
            item["Tags"] = json!({"SS": ["a", format!("t{}", number % 7)]});
        }
        if random.random_bool(0.3) {
            item["Deep"] = json!({"M": {"l": {"L": [{"N": "1.50"}, {"NULL": true}]}, "b": {"B": "AAE="}}});
        }
        if random.random_bool(0.5) {
            item["Text"] = json!({"S": "ä\"\\ ".repeat(random.random_range(0..60))});
        }
        if random.random_bool(0.01) {
            item[format!("Rare{}", number % 30)] = json!({"BOOL": number % 2 == 0});
        }
        item
    }

    /// What the item with this number becomes after the full export: `None`, it stays; `Some(None)`, it goes.
    fn changed(self, at: u64) -> Option<Option<Value>> {
        let changes = at >= self.items || self.random(at, 100).random_bool(0.5);
        let goes = at < self.items && self.random(at, 101).random_bool(0.3);
        changes.then(|| (!goes).then(|| self.item(at, 2)))
    }

    /// All numbers that an item has now or later.
    fn numbers(self) -> std::ops::Range<u64> {
        0..self.items + self.items / 5
    }

    /// The items of the table.
    pub fn before(self) -> impl Iterator<Item = Value> {
        (0..self.items).map(move |at| self.item(at, 1))
    }

    /// What changes: a key, and the item or nothing.
    pub fn changes(self) -> impl Iterator<Item = (Value, Option<Value>)> {
        let key = |at| json!({"Id": {"S": format!("item-{at}")}});
        self.numbers().filter_map(move |at| Some((key(at), self.changed(at)?)))
    }

    /// The items of the table after its changes.
    pub fn after(self) -> impl Iterator<Item = Value> {
        let before = move |at| (at < self.items).then(|| self.item(at, 1));
        self.numbers().filter_map(move |at| self.changed(at).unwrap_or_else(|| before(at)))
    }
}

/// Writes items, one a line.
pub fn record(items: impl Iterator<Item = Value>, path: &Path) {
    let mut file = std::io::BufWriter::new(fs::File::create(path).unwrap());
    items.for_each(|item| writeln!(file, "{item}").unwrap());
    file.flush().unwrap();
}

/// A full export of table `Items`, taken at `time`, with so many data files; answers its folder.
pub fn full(root: &Path, time: &str, files: usize, items: impl Iterator<Item = Value>) -> PathBuf {
    full_with_id(root, "01795168800622-0badcafe", time, files, items)
}

/// The same, with an id of its own.
pub fn full_with_id(root: &Path, id: &str, time: &str, files: usize, items: impl Iterator<Item = Value>) -> PathBuf {
    let lines = items.map(|item| format!("{{\"Item\":{item}}}"));
    let more = json!({"version": "2020-06-30", "exportTime": time});
    write(root, id, &format!("AWSDynamoDB/{id}/data"), files, lines, more)
}

/// Copies a folder of exports below a prefix of a bucket, as the service names its files: with the prefix in the manifest.
pub fn upload(root: &Path, s3: u16, bucket: &str, prefix: &str) {
    let put = |key: &str, body: &[u8]| {
        let answer = http::call(s3, "PUT", &http::escaped(&format!("/{bucket}/{prefix}/{key}")), body).unwrap();
        assert_eq!(answer.status(), 200, "{key}");
    };
    for (path, _) in super::files_below(root) {
        let mut body = fs::read(root.join(&path)).unwrap();
        if path.ends_with("manifest-files.json") {
            let text = String::from_utf8(body).unwrap();
            body = text.replace("\"AWSDynamoDB/", &format!("\"{prefix}/AWSDynamoDB/")).into_bytes();
            put(&path.replace(".json", ".md5"), md5_base64(&body).as_bytes());
        } else if path.ends_with("manifest-files.md5") {
            continue;
        }
        put(&path, &body);
    }
}

/// An incremental export of table `Items` with a line for each of `changes`: a key, and the item or nothing.
pub fn incremental(
    root: &Path,
    [from, to]: [&str; 2],
    files: usize,
    changes: impl Iterator<Item = (Value, Option<Value>)>,
) -> PathBuf {
    let lines = changes.map(|(key, item)| {
        let new = item.map_or_else(String::new, |item| format!(",\"NewImage\":{item}"));
        format!(r#"{{"Metadata":{{"WriteTimestampMicros":{{"N":"1795165200000000"}}}},"Keys":{key}{new}}}"#)
    });
    let more = json!({
        "exportFromTime": from, "exportToTime": to, "outputView": "NEW_IMAGE", "exportType": "INCREMENTAL_EXPORT",
    });
    // Another window is another export.
    let window = [from, to].concat().bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    write(root, &format!("01795172400000-{window:08x}"), "AWSDynamoDB/data", files, lines, more)
}

fn write(
    root: &Path,
    id: &str,
    folder: &str,
    files: usize,
    lines: impl Iterator<Item = String>,
    more: Value,
) -> PathBuf {
    let own = root.join("AWSDynamoDB").join(id);
    fs::create_dir_all(&own).unwrap();
    fs::create_dir_all(root.join(folder)).unwrap();
    let mut data: Vec<_> = (0..files).map(|_| (0_u64, GzEncoder::new(Vec::new(), Compression::fast()))).collect();
    let mut items = 0;
    for line in lines {
        let (count, encoder) = &mut data[items % files];
        writeln!(encoder, "{line}").unwrap();
        *count += 1;
        items += 1;
    }
    let mut manifest = String::new();
    for (file, (count, encoder)) in data.into_iter().enumerate() {
        let bytes = encoder.finish().unwrap();
        // Files of incremental exports lie side by side in one folder.
        let key = format!("{folder}/{}{file:018}.json.gz", &id[15..]);
        let line = json!({"itemCount": count, "md5Checksum": md5_base64(&bytes), "etag": "", "dataFileS3Key": key});
        manifest += &format!("{line}\n");
        fs::write(root.join(key), bytes).unwrap();
    }
    let table = "arn:aws:dynamodb:ddblocal:000000000000:table/Items";
    let mut summary = json!({
        "exportArn": format!("{table}/export/{id}"), "tableArn": table, "itemCount": items,
        "billedSizeBytes": items * 100, "outputFormat": "DYNAMODB_JSON",
    });
    summary.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    for (name, text) in [("manifest-summary", summary.to_string()), ("manifest-files", manifest)] {
        fs::write(own.join(format!("{name}.json")), &text).unwrap();
        fs::write(own.join(format!("{name}.md5")), md5_base64(text.as_bytes())).unwrap();
    }
    own
}
