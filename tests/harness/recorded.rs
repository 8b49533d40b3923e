//! Recorded changes made up by a test, with the history that the judge wants.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// What a stream's records carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    NewAndOld,
    New,
    Old,
    Keys,
}

impl View {
    /// As DynamoDB and the judge name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NewAndOld => "NEW_AND_OLD_IMAGES",
            Self::New => "NEW_IMAGE",
            Self::Old => "OLD_IMAGE",
            Self::Keys => "KEYS_ONLY",
        }
    }
}

/// A recording in the making: one change a line, in the shape of DynamoDB's Kinesis destination.
pub struct Recording {
    view: View,
    items: HashMap<String, Value>,
    pub lines: Vec<String>,
    pub history: Vec<String>,
}

impl Default for Recording {
    fn default() -> Self {
        Self::of(View::NewAndOld)
    }
}

impl Recording {
    pub fn of(view: View) -> Self {
        Self { view, items: HashMap::new(), lines: Vec::new(), history: Vec::new() }
    }

    /// The item with this `Id` gets these attributes, besides its key.
    pub fn put(&mut self, table: &str, id: &str, attributes: Value) {
        let Value::Object(mut image) = attributes else { panic!("attributes are an object") };
        image.insert("Id".to_owned(), json!({ "S": id }));
        self.change(table, id, Some(image));
    }

    /// The item is removed.
    pub fn remove(&mut self, table: &str, id: &str) {
        self.change(table, id, None);
    }

    fn change(&mut self, table: &str, id: &str, image: Option<Map<String, Value>>) {
        let who = format!("{table}\n{id}");
        let (new, old) = (image.map(Value::Object), self.items.remove(&who));
        let op = match (&new, &old) {
            (Some(_), None) => "INSERT",
            (Some(_), Some(_)) => "MODIFY",
            (None, _) => "REMOVE",
        };
        let keys = json!({ "Id": { "S": id } });
        let mut change = json!({
            "ApproximateCreationDateTime": 1_795_165_200_000_u64 + self.lines.len() as u64,
            "Keys": keys,
            "SizeBytes": 1,
        });
        let images =
            [("NewImage", &new, [View::NewAndOld, View::New]), ("OldImage", &old, [View::NewAndOld, View::Old])];
        for (name, image, views) in images {
            if let (Some(image), true) = (image, views.contains(&self.view)) {
                change[name] = image.clone();
            }
        }
        self.lines.push(record(table, op, change));
        self.history.push(json!({ "table": table, "keys": keys, "op": op, "new": new, "old": old }).to_string());
        if let Some(new) = new {
            self.items.insert(who, new);
        }
    }

    /// The recorded file's content.
    pub fn recorded(&self) -> String {
        self.lines.join("\n") + "\n"
    }

    /// The history file's content.
    pub fn history(&self) -> String {
        self.history.join("\n") + "\n"
    }
}

/// One record around the inner part of a change.
pub fn record(table: &str, op: &str, change: Value) -> String {
    json!({
        "awsRegion": "us-east-1", "eventID": "00000000-0000-4000-8000-000000000000", "eventName": op, "userIdentity": null,
        "recordFormat": "application/json", "tableName": table, "dynamodb": change, "eventSource": "aws:dynamodb",
    })
    .to_string()
}
