//! How is the section `[lake]` read?

use super::field::Refusal;
use super::kind::{Kind, byte_size, duration, list, whole_number};
use super::names::{attribute_name, table_name};
use super::nearest::one_word_of;
use super::places::lake_path;
use super::report::Report;
use super::section::Section;
use super::spec::*;
use super::text::{key_name, quote};
use crate::lake::partition::names_a_folder;

/// Reads the section `[lake]`.
pub(super) fn lake(lake: &Section<'_>, report: &Report<'_>) -> Option<Lake> {
    let path = lake.required("path", &Kind::text("a folder, or \"s3://BUCKET/PREFIX\"", lake_path));
    let partition_by = lake.or("partition_by", &partitions(), default_partition_by());
    let roll = lake.section("roll", |section| roll(section, report));
    let max_columns = lake.or("max_columns", &whole_number(1..=MAX_MAX_COLUMNS), DEFAULT_MAX_COLUMNS);
    let tables = lake.named_sections("tables", table);
    names_are_possible(report, &tables);
    let tables = tables.into_iter().collect();
    Some(Lake { path: path?, partition_by, roll, max_columns, tables })
}

/// Names of tables and attributes that stand as keys in the file.
fn names_are_possible(report: &Report<'_>, tables: &[(String, LakeTable)]) {
    for (name, table) in tables {
        let path = format!("lake.tables.{}", key_name(name));
        if table_name(name).is_err() {
            let expected = "3 to 255 letters, digits, `_`, `.` and `-`".to_owned();
            report.problem_at(&path, "not a table's name", Some(expected), None);
        }
        if table.column("").is_some() {
            let path = format!("{path}.columns.{}", key_name(""));
            report.problem_at(&path, "no attribute has an empty name", None, None);
        }
    }
}

fn partitions() -> Kind<Vec<Partition>> {
    let partition = Kind::text("`year`, `month`, `day`, `hour` or an attribute's name", |text| {
        Ok(match text {
            "year" => Partition::Year,
            "month" => Partition::Month,
            "day" => Partition::Day,
            "hour" => Partition::Hour,
            _ if !text.is_empty() && !names_a_folder(text) => {
                return Err(
                    Refusal::not(text).cure("a folder holds the name and a value: at most 54 bytes are for the name")
                );
            }
            _ => Partition::Attribute(attribute_name(text)?),
        })
    });
    // Folder names that differ only in case are one folder to many readers.
    let what = "partitions (`year`, `month`, `day`, `hour` or attribute names)";
    list(what, 0..=usize::MAX, partition, |partition| partition.to_string().to_lowercase())
}

fn roll(roll: &Section<'_>, report: &Report<'_>) -> Roll {
    let age = || duration(MIN_ROLL_AGE..=MAX_ROLL_AGE, "60s");
    let bytes = roll.or("bytes", &byte_size(MIN_ROLL_BYTES..=MAX_ROLL_BYTES, "128 MiB"), DEFAULT_ROLL_BYTES);
    let rows = roll.or("rows", &whole_number(1..=MAX_ROLL_ROWS), DEFAULT_ROLL_ROWS);
    let (age, idle) = (roll.or("age", &age(), DEFAULT_ROLL_AGE), roll.optional("idle", &age()));
    if let Some(idle) = idle.filter(|idle| *idle > age && !report.is_wrong("lake.roll.age")) {
        let (idle, age) = (humantime::format_duration(idle), humantime::format_duration(age));
        let cure = Some(format!("a file is closed after {age} (`age`) anyway"));
        report.problem_at("lake.roll.idle", format!("{idle} would never count"), Some(format!("at most {age}")), cure);
    }
    Roll { bytes, rows, age, idle }
}

fn table(table: &Section<'_>) -> LakeTable {
    let attributes =
        |count, what: &str| list(what, count, Kind::text("an attribute's name", attribute_name), String::clone);
    LakeTable {
        keys: table.or("keys", &attributes(1..=2, "one or two key attributes, partition key first"), Vec::new()),
        indexes: table.or("indexes", &attributes(0..=usize::MAX, "attribute names"), Vec::new()),
        columns: table.named_values("columns", &column()),
        partition_by: table.optional("partition_by", &partitions()),
    }
}

fn column() -> Kind<ColumnType> {
    let expected = format!(
        "{}, a list such as \"list<string>\" or a struct such as \"struct<Name: string>\"",
        one_word_of(SCALAR_TYPES)
    );
    Kind::text(expected, |text| {
        text.parse().map_err(|wrong: NotAColumnType| {
            let found = format!("found {}: {}", quote(text), wrong.why);
            let inside = wrong.part.len() < text.trim().len();
            Refusal { found, cure: wrong.cure, part: inside.then_some(wrong.part) }
        })
    })
}
