//! The walls of the house, held by a plain search through its own source: which module may know what, where time comes
//! from, how large a room may be.
//!
//! `ARCHITECTURE.md` says why each wall stands. A wall that is in the way is moved there and here, in one commit.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The longest file, tests included. A longer one answers more than one question.
const MAX_LINES: usize = 500;

/// A source file: its path from the root of the repository, and its text.
struct Source {
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `folder` whose names end in `ending`, sorted by path.
fn files(folder: &str, ending: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                let relative = path.strip_prefix(root()).unwrap();
                let path_text = relative.to_str().unwrap().replace('\\', "/");
                found.push(Source { text: fs::read_to_string(&path).unwrap(), path: path_text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "{folder} has no {ending} files: where does this test run?");
    found
}

/// The source of the product and of the tests inside it, without this file, whose words would be found in it.
fn house() -> Vec<Source> {
    let mut files = files("src", ".rs");
    files.retain(|file| file.path != "src/tidy.rs");
    files
}

/// Fails with every line that has one of `words` in a file that `may` not have it.
fn forbid(files: &[Source], words: &[&str], may: impl Fn(&str) -> bool, why: &str) {
    let mut found = String::new();
    for Source { path, text } in files.iter().filter(|file| !may(&file.path)) {
        for (at, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                // Writing to a String cannot fail.
                _ = writeln!(found, "  {path}:{}: `{word}` in: {}", at + 1, line.trim());
            }
        }
    }
    assert!(found.is_empty(), "{why}:\n{found}");
}

/// The same for files in which the words may stand nowhere.
fn forbid_all(files: &[Source], words: &[&str], why: &str) {
    forbid(files, words, |_| false, why);
}

#[test]
fn the_aws_sdk_stays_at_the_edges() {
    let edge = |path: &str| {
        ["src/source/", "src/checkpoint/dynamodb", "src/lake/store/s3", "src/handler/kinds/", "src/assembly.rs"]
            .iter()
            .chain(&["src/lambda/live.rs"])
            .any(|edge| path.starts_with(edge))
    };
    let inside = |path: &str| {
        ["src/source/reader.rs", "src/source/lineage.rs", "src/source/mod.rs", "src/source/file.rs"].contains(&path)
    };
    forbid(
        &house(),
        &["aws_sdk_", "aws_config", "aws_smithy_"],
        |path| edge(path) && !inside(path),
        "everything else goes through StreamApi, ObjectStore or StateStore",
    );
}

#[test]
fn arrow_and_parquet_stay_in_the_lake() {
    forbid(
        &house(),
        &["arrow_", "parquet::"],
        |path| path.starts_with("src/lake/") || path.starts_with("src/testing/"),
        "how rows are laid out is known to the lake alone",
    );
    forbid_all(&files("src/lake/store", ".rs"), &["arrow_", "parquet::"], "a store knows objects, not rows");
}

#[test]
fn time_has_one_door() {
    forbid(
        &house(),
        &[
            "SystemTime::now",
            "Instant::now",
            "time::sleep(",
            "Timestamp::now",
            "Zoned::now",
            "thread::sleep",
            "rand::rng(",
            "rand::random",
            "make_rng(",
            "SysRng",
            "getrandom",
            "RandomState",
        ],
        |path| path == "src/clock.rs",
        "time and randomness enter through src/clock.rs, so that one seed gives one run",
    );
}

#[test]
fn pure_rooms_do_no_io() {
    let pure = |path: &str| {
        ["src/change/", "src/decode/", "src/source/lineage.rs", "src/source/unwrap.rs", "src/source/kpl.rs"]
            .iter()
            .chain(&["src/lake/roll.rs", "src/lake/placement.rs", "src/lake/partition.rs", "src/lake/schema.rs"])
            .chain(&["src/lake/columns", "src/lake/rows.rs", "src/lake/file.rs", "src/lake/range.rs"])
            .chain(&["src/lake/kept.rs", "src/lake/members.rs", "src/iam.rs"])
            .chain(&["src/lambda/event.rs", "src/lambda/answer.rs", "src/lambda/source.rs", "src/lambda/mapping.rs"])
            .chain(&[
                "src/lake/encodings.rs",
                "src/source/export/lanes.rs",
                "src/source/export/manifest",
                "src/source/scan/page.rs",
                "src/source/scan/units.rs",
                "src/lake/latest/canonical.rs",
                "src/route/",
                "src/handler/change.rs",
                "src/handler/payload/",
                "src/handler/lanes",
            ])
            .any(|room| path.starts_with(room))
    };
    forbid(
        &house(),
        &["async fn", ".await", "std::fs", "std::net", "std::env", "tokio::", "crate::clock"],
        |path| !pure(path),
        "a pure function is proved by its tests alone, and gives the same on every machine",
    );
}

#[test]
fn nothing_is_deleted() {
    forbid_all(
        &house(),
        &[concat!("delete_", "object"), concat!("Delete", "Objects")],
        "no outcome of a request is certain enough to delete by; the writer has no such permission",
    );
    // A folder's own temporary files, and what tests spoil on purpose.
    let may = |path: &str| path.starts_with("src/lake/store/folder") || path.contains("tests");
    forbid(
        &house(),
        &["fs::remove_", "fs::rename"],
        |path| may(path) || path.starts_with("src/checkpoint/folder"),
        "as above",
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = house().into_iter().filter(|file| !file.text.starts_with("//! ")).collect();
    let silent: Vec<_> = silent.iter().map(|file| &file.path).collect();
    assert!(silent.is_empty(), "the first line says which question a file answers (`//! ...`): {silent:?}");
}

#[test]
fn rooms_are_small() {
    let long: Vec<_> = house()
        .into_iter()
        .map(|file| (file.text.lines().count(), file.path))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .collect();
    assert!(long.is_empty(), "more than {MAX_LINES} lines: {long:?}");
}

#[test]
fn nothing_is_left_undone_or_bound_to_one_machine() {
    let mut files = house();
    files.extend(self::files("pipelines", ".toml"));
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "pipelines/README.md", "Cargo.toml"] {
        files.push(Source { path: name.to_owned(), text: fs::read_to_string(root().join(name)).unwrap() });
    }
    forbid_all(
        &files,
        &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimplemented", "!(")],
        "what is not done is an issue, not a remark",
    );
    forbid_all(&files, &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), "/home/"], "a path of one machine");
}

#[test]
fn the_readme_has_the_metrics_there_are() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let table = crate::telemetry::metrics_table_markdown();
    assert!(readme.contains(&table), "README.md should have this table:\n\n{table}");
}
