//! DynamoDB exports made by a test, and those that were captured.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use watershed::source::export::manifest::md5_base64;

use super::tools;

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

/// A full export of table `Items` with `items` items in some files; writes the items to `recorded`, and answers its folder.
pub fn generated(root: &Path, items: u64, files: u64, recorded: &Path) -> PathBuf {
    let id = "01795168800622-0badcafe";
    let own = root.join("AWSDynamoDB").join(id);
    fs::create_dir_all(own.join("data")).unwrap();
    let mut record = std::io::BufWriter::new(fs::File::create(recorded).unwrap());
    let mut manifest = String::new();
    for file in 0..files {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let mut count = 0;
        for at in (0..items).filter(|at| at % files == file) {
            let mut item = json!({"Id": {"S": format!("item-{at}")}, "Number": {"N": at.to_string()}});
            match at % 4 {
                0 => item["Tags"] = json!({"SS": ["a", format!("t{}", at % 7)]}),
                1 => item["Deep"] = json!({"M": {"l": {"L": [{"N": "1.50"}, {"NULL": true}]}, "b": {"B": "AAE="}}}),
                2 => item["Text"] = json!({"S": "ä\"\\ ".repeat(at as usize % 60)}),
                _ => item["Number"] = json!({"N": "12345678901234567890123456789012345678"}),
            }
            writeln!(encoder, "{{\"Item\":{item}}}").unwrap();
            writeln!(record, "{item}").unwrap();
            count += 1;
        }
        let bytes = encoder.finish().unwrap();
        let key = format!("AWSDynamoDB/{id}/data/{file:026}.json.gz");
        let line = json!({"itemCount": count, "md5Checksum": md5_base64(&bytes), "etag": "", "dataFileS3Key": key});
        manifest += &format!("{line}\n");
        fs::write(root.join(key), bytes).unwrap();
    }
    let table = "arn:aws:dynamodb:eu-central-1:111122223333:table/Items";
    let summary = json!({
        "version": "2020-06-30", "exportArn": format!("{table}/export/{id}"), "tableArn": table, "itemCount": items,
        "exportTime": "2026-11-20T10:00:00.622Z", "billedSizeBytes": items * 100, "outputFormat": "DYNAMODB_JSON",
    })
    .to_string();
    for (name, text) in [("manifest-summary", &summary), ("manifest-files", &manifest)] {
        fs::write(own.join(format!("{name}.json")), text).unwrap();
        fs::write(own.join(format!("{name}.md5")), md5_base64(text.as_bytes())).unwrap();
    }
    record.flush().unwrap();
    own
}

/// An incremental export of table `Items` with a line for each of `changes`: a key, and the item or nothing.
pub fn incremental(root: &Path, [from, to]: [&str; 2], changes: &[(Value, Option<Value>)]) -> PathBuf {
    let id = "01795172400000-0badcafe";
    let own = root.join("AWSDynamoDB").join(id);
    fs::create_dir_all(&own).unwrap();
    fs::create_dir_all(root.join("AWSDynamoDB/data")).unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for (key, item) in changes {
        let mut line = json!({"Metadata": {"WriteTimestampMicros": {"N": "1795165200000000"}}, "Keys": key});
        if let Some(item) = item {
            line["NewImage"] = item.clone();
        }
        writeln!(encoder, "{line}").unwrap();
    }
    let bytes = encoder.finish().unwrap();
    let key = format!("AWSDynamoDB/data/{from:0>26}.json.gz").replace(':', "-");
    let line = json!({"itemCount": changes.len(), "md5Checksum": md5_base64(&bytes), "dataFileS3Key": key});
    let table = "arn:aws:dynamodb:ddblocal:000000000000:table/Items";
    let summary = json!({
        "exportArn": format!("{table}/export/{id}{to}"), "tableArn": table, "itemCount": changes.len(),
        "exportFromTime": from, "exportToTime": to, "outputFormat": "DYNAMODB_JSON", "outputView": "NEW_IMAGE",
        "exportType": "INCREMENTAL_EXPORT",
    });
    fs::write(root.join(&key), bytes).unwrap();
    fs::write(own.join("manifest-summary.json"), summary.to_string()).unwrap();
    fs::write(own.join("manifest-files.json"), line.to_string()).unwrap();
    own
}
