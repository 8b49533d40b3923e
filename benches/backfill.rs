//! How fast does an export land: from gzipped files in a folder to Parquet in a folder?
//!
//! ```text
//! cargo bench --bench backfill [-- ITEMS...]     100000 1000000 unless said otherwise
//! ```
//!
//! Megabytes are those of the items' JSON, before gzip.

mod daemon;
mod measure;
mod workload;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use watershed::source::export::manifest::md5_base64;
use workload::Workload;

/// The data files of an export: a small table's.
const FILES: usize = 8;

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![100_000, 1_000_000] } else { sizes };
    println!("    items  lanes    MB  user s   sys s  wall s  items/s core  MB/s core  MB/s wall  peak MB");
    for items in sizes {
        for lanes in ["1", "2"] {
            one(items, lanes);
        }
    }
}

fn one(items: usize, lanes: &str) {
    let work = tempfile::tempdir().expect("a folder");
    let (export, bytes) = export(work.path(), items);
    let pipeline = work.path().join("pipeline.toml");
    let folder = work.path().display();
    let text = format!(
        "name = \"bench\"\nstate = \"folder:{folder}/state\"\n[source]\ntype = \"dynamodb-streams\"\ntables = [\"Reply\"]\n\
         [lake]\npath = \"{folder}/lake\"\n[lake.tables.Reply]\nkeys = [\"Id\", \"ReplyDateTime\"]\n"
    );
    fs::write(&pipeline, text).expect("written");
    let path = |path: &Path| path.to_str().expect("a path of text").to_owned();
    let (pipeline, export) = (path(&pipeline), path(&export));
    let arguments = ["backfill", &pipeline, "--snapshot-only", "--segments", lanes, "--export", &export];
    let took = daemon::run_command(&arguments, &[]);
    assert_eq!(daemon::landed(&work.path().join("lake")), items as u64, "all is in the lake, once");
    let (megabytes, user, wall) = (bytes as f64 / 1e6, took.user.as_secs_f64(), took.wall.as_secs_f64());
    println!(
        "{items:>9}  {lanes:>5}  {megabytes:>4.0}  {user:>6.2}  {:>6.2}  {wall:>6.2}  {:>12.0}  {:>9.0}  {:>9.0}  {:>7.0}",
        took.system.as_secs_f64(),
        items as f64 / user,
        megabytes / user,
        megabytes / wall,
        took.peak as f64 / 1e6,
    );
}

/// A full export of `Reply`: its folder, and the bytes of its items.
fn export(root: &Path, items: usize) -> (PathBuf, u64) {
    let id = "01795168800622-0badcafe";
    let own = root.join("AWSDynamoDB").join(id);
    fs::create_dir_all(own.join("data")).expect("a folder");
    let mut images = Workload::Reply.changes(1).filter_map(|change| change.new_image);
    let (mut manifest, mut bytes) = (String::new(), 0);
    for file in 0..FILES {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let count = items / FILES + usize::from(file < items % FILES);
        for image in images.by_ref().take(count) {
            bytes += image.len() as u64;
            writeln!(encoder, "{{\"Item\":{image}}}").expect("written");
        }
        let body = encoder.finish().expect("gzip");
        let (digest, key) = (md5_base64(&body), format!("AWSDynamoDB/{id}/data/{file:026}.json.gz"));
        manifest += &format!(r#"{{"itemCount":{count},"md5Checksum":"{digest}","etag":"","dataFileS3Key":"{key}"}}"#);
        manifest.push('\n');
        fs::write(root.join(key), body).expect("written");
    }
    let table = "arn:aws:dynamodb:eu-central-1:111122223333:table/Reply";
    let summary = format!(
        r#"{{"exportArn":"{table}/export/{id}","tableArn":"{table}","itemCount":{items},"outputFormat":"DYNAMODB_JSON",
           "exportTime":"2026-11-20T10:00:00.622Z"}}"#
    );
    fs::write(own.join("manifest-summary.json"), summary).expect("written");
    fs::write(own.join("manifest-files.json"), manifest).expect("written");
    (own, bytes)
}
