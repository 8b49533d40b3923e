//! A newcomer's first command: recorded changes, a folder, nothing else.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Work, files_below, lake, tools};

/// The shipped pipeline, with its source found from anywhere.
fn pipeline() -> String {
    let shipped = fs::read_to_string(tools().repository("pipelines/quickstart.toml")).unwrap();
    let source = tools().repository("pipelines/quickstart");
    let moved = shipped.replace(r#""pipelines/quickstart""#, &format!("{:?}", source.to_str().unwrap()));
    assert_ne!(shipped, moved);
    moved
}

#[test]
fn the_recorded_changes_land_once_and_two_readers_agree() {
    let work = Work::new();
    work.write("quickstart.toml", pipeline());
    let first = work.run(&["run", "quickstart.toml"]).expect(0);
    for word in ["INSERT", "MODIFY", "REMOVE", "lake/quickstart", "SELECT", "2,739"] {
        assert!(first.stdout.contains(word), "no {word} in the summary:\n{}", first.stdout);
    }

    let expected: Value =
        serde_json::from_slice(&fs::read(tools().repository("tests/fixtures/quickstart-expected.json")).unwrap())
            .unwrap();
    let mut tables = expected["tables"].clone();
    for table in tables.as_object_mut().unwrap().values_mut() {
        for only_expected in ["file", "keys"] {
            table.as_object_mut().unwrap().remove(only_expected);
        }
    }
    let lake_folder = work.path("lake/quickstart");
    let counted = tools().run("count_lake.py", &[lake_folder.to_str().unwrap()]);
    assert_eq!(counted, json!({ "duckdb": tables, "pyarrow": tables }));
    let chains = lake::walk(&lake_folder);
    assert_eq!((chains.chains, chains.rows, chains.dead_letters), (4, 2739, 0));
    let ahead = lake::Leads::default().find(&lake::Place::Folder(lake_folder.clone()), &work.path("state"));
    assert!(ahead.is_empty(), "{ahead:#?}");

    let files = files_below(work.path("lake").as_path());
    for arguments in [&["run", "quickstart.toml"][..], &["run", "quickstart.toml", "--once"]] {
        let again = work.run(arguments).expect(0);
        assert!(again.stdout.contains("Nothing new"), "{}", again.stdout);
        assert_eq!(files_below(work.path("lake").as_path()), files);
    }
}

/// The query that the summary ends with is one that DuckDB takes.
#[test]
fn the_query_of_the_summary_works() {
    let work = Work::new();
    work.write("quickstart.toml", pipeline());
    let said = work.run(&["run", "quickstart.toml", "--once"]).expect(0).stdout;
    let query = said.split_once("DuckDB:").expect("a query").1.trim();
    let query = query.replace("'lake/", &format!("'{}/", work.text("lake")));
    let rows = tools().run("query.py", &[&query]);
    assert_eq!(rows.as_array().map(Vec::len), Some(3), "one row per operation: {rows}");
}

/// A lost state costs nothing but a walk: the lake itself knows what it has.
#[test]
fn without_its_state_the_lake_still_takes_nothing_twice() {
    let work = Work::new();
    work.write("quickstart.toml", pipeline());
    work.run(&["run", "quickstart.toml"]).expect(0);
    let files = files_below(work.path("lake").as_path());
    fs::remove_dir_all(work.path("state")).unwrap();
    let again = work.run(&["run", "quickstart.toml"]).expect(0);
    assert!(again.stdout.contains("Nothing new"), "{}", again.stdout);
    assert_eq!(files_below(work.path("lake").as_path()), files);
}
