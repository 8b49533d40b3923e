//! What do the manifests of a DynamoDB export say, and is it an export that can be landed? Pure.

use std::collections::HashSet;

use serde::Deserialize;

/// What is wrong with an export, and what to do about it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ExportError(pub String);

/// An export, as its manifests describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its ARN.
    pub arn: String,
    /// Its id, the end of its ARN: the folder it is in.
    pub id: String,
    /// The table's ARN.
    pub table_arn: String,
    /// The table's name.
    pub table: String,
    /// What it holds.
    pub window: Window,
    /// How many lines all its files have.
    pub items: u64,
    /// What it was billed for: the size of the table, or of the changes, as DynamoDB counts it.
    pub billed_bytes: u64,
    /// Its data files that have lines, in the manifest's order.
    pub files: Vec<DataFile>,
    /// Whether it says that items or attributes were left out.
    pub partial: bool,
}

/// What an export holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// All items as they were at about this time, µs since the epoch.
    Full(i64),
    /// What became of the items that changed in a window of time.
    Incremental {
        /// From this time on, µs since the epoch.
        from: i64,
        /// Until before this time, µs since the epoch.
        to: i64,
        /// Whether it has the images before the window.
        with_old: bool,
    },
}

/// One data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Its object key, prefix included.
    pub key: String,
    /// Its lines.
    pub items: u64,
    /// Base64 of the MD5 of its compressed bytes.
    pub md5: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    export_arn: String,
    table_arn: String,
    #[serde(default)]
    export_time: Option<String>,
    #[serde(default)]
    export_from_time: Option<String>,
    #[serde(default)]
    export_to_time: Option<String>,
    item_count: u64,
    #[serde(default)]
    billed_size_bytes: u64,
    output_format: String,
    #[serde(default)]
    output_view: Option<String>,
    #[serde(default)]
    export_type: Option<String>,
    #[serde(flatten)]
    more: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileLine {
    item_count: u64,
    md5_checksum: String,
    #[serde(rename = "dataFileS3Key")]
    key: String,
}

/// Checks a file against the checksum that stands beside it, if one does: base64 of its MD5.
pub fn check(name: &str, bytes: &[u8], checksum: Option<&[u8]>) -> Result<(), ExportError> {
    let Some(told) = checksum.map(|told| String::from_utf8_lossy(told).trim().to_owned()) else { return Ok(()) };
    let found = md5_base64(bytes);
    if found == told {
        return Ok(());
    }
    Err(ExportError(format!(
        "{name} is damaged: its MD5 is {found}, and the checksum beside it says {told}. Copy the export again"
    )))
}

/// Base64 of the MD5 of some bytes, as exports write it.
pub fn md5_base64(bytes: &[u8]) -> String {
    use md5::Digest as _;
    base64_simd::STANDARD.encode_to_string(md5::Md5::digest(bytes))
}

/// Reads `manifest-summary.json` and `manifest-files.json`. `place` names the export for people.
pub fn read(place: &str, summary: &[u8], files: &[u8]) -> Result<Manifest, ExportError> {
    let damaged =
        |what: &str, why: &str| ExportError(format!("{place}/{what} is damaged: {why}. Copy the export again"));
    let summary_name = "manifest-summary.json";
    let told: Summary = serde_json::from_slice(summary).map_err(|error| damaged(summary_name, &error.to_string()))?;
    if told.output_format != "DYNAMODB_JSON" {
        let format = &told.output_format;
        return Err(ExportError(format!("the export at {place} has the format {format}: export it as DYNAMODB_JSON")));
    }
    let table = told.table_arn.split_once(":table/").map(|(_, table)| table.to_owned());
    let table = table.filter(|table| !table.is_empty() && !table.contains('/'));
    let table = table.ok_or_else(|| damaged(summary_name, "its `tableArn` is no table's"))?;
    let id = told.export_arn.rsplit('/').next().unwrap_or_default().to_owned();
    let time = |name: &str, text: &Option<String>| {
        let text = text.as_deref().ok_or_else(|| damaged(summary_name, &format!("it has no `{name}`")))?;
        let time: Result<jiff::Timestamp, _> = text.parse();
        time.map(|time| time.as_microsecond()).map_err(|_| damaged(summary_name, &format!("its `{name}` is no time")))
    };
    let window = match told.export_type.as_deref() {
        None | Some("FULL_EXPORT") => Window::Full(time("exportTime", &told.export_time)?),
        Some("INCREMENTAL_EXPORT") => Window::Incremental {
            from: time("exportFromTime", &told.export_from_time)?,
            to: time("exportToTime", &told.export_to_time)?,
            with_old: told.output_view.as_deref() == Some("NEW_AND_OLD_IMAGES"),
        },
        Some(other) => {
            return Err(ExportError(format!(
                "the export at {place} is of type {other}, which this version does not know"
            )));
        }
    };
    let files = data_files(files).map_err(|why| damaged("manifest-files.json", &why))?;
    let listed: u64 = files.iter().map(|file| file.items).sum();
    if listed != told.item_count {
        let why = format!("its files have {listed} items, and manifest-summary.json says {}", told.item_count);
        return Err(damaged("manifest-files.json", &why));
    }
    Ok(Manifest {
        arn: told.export_arn,
        id,
        table_arn: told.table_arn,
        table,
        window,
        items: told.item_count,
        billed_bytes: told.billed_size_bytes,
        files: files.into_iter().filter(|file| file.items > 0).collect(),
        partial: told.more.iter().any(|(name, value)| leaves_out(name) && !value.is_null()),
    })
}

/// Whether a member of the summary says that something was left out. The service names its request's parameter
/// `FilterSpecification`, with expressions inside.
fn leaves_out(member: &str) -> bool {
    let name = member.to_ascii_lowercase();
    name.contains("filter") || name.contains("projection") || name.contains("expression")
}

fn data_files(lines: &[u8]) -> Result<Vec<DataFile>, String> {
    let mut files: Vec<DataFile> = Vec::new();
    let mut keys = HashSet::new();
    for (at, line) in lines.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty()) {
        let line: FileLine =
            serde_json::from_slice(line).map_err(|error| format!("line {} does not parse ({error})", at + 1))?;
        let inside = line.key.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
        if !inside || !line.key.contains("AWSDynamoDB/") {
            return Err(format!("line {} names a data file outside the export", at + 1));
        }
        if !keys.insert(line.key.clone()) {
            return Err(format!("line {} names the data file of another line", at + 1));
        }
        files.push(DataFile { key: line.key, items: line.item_count, md5: line.md5_checksum });
    }
    Ok(files)
}

/// Whether the windows of incremental exports follow each other without a hole, so that together they are one window.
/// Full exports stand alone.
pub fn belong_together(exports: &[Manifest]) -> Result<(), ExportError> {
    for pair in exports.windows(2) {
        let [before, after] = pair else { continue };
        if before.table_arn != after.table_arn {
            let (one, other) = (&before.table_arn, &after.table_arn);
            return Err(ExportError(format!(
                "the exports are of different tables, {one} and {other}: land them one by one"
            )));
        }
        match (before.window, after.window) {
            (Window::Incremental { to, .. }, Window::Incremental { from, .. }) if from <= to => {}
            (Window::Incremental { to, .. }, Window::Incremental { from, .. }) => {
                let (to, from) = (crate::lake::rfc3339(to), crate::lake::rfc3339(from));
                return Err(ExportError(format!(
                    "between the exports {} and {} the window from {to} to {from} is missing: export that too",
                    before.id, after.id
                )));
            }
            _ => {
                return Err(ExportError(
                    "only incremental exports can be landed together: give a full one alone".into(),
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
