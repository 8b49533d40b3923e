//! Which column holds which attribute of a table, and how that grows: pure data and rules.
//!
//! A table's schema only ever grows: a new attribute adds a nullable column at the end, nothing is renamed, retyped or
//! dropped. So a row decoded under one version has the same values under every later one, and any worker that decodes
//! the same range again writes the same rows.

mod attribute_type;

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};
use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};

pub use self::attribute_type::AttributeType;
use crate::pipeline::spec::{ColumnType, StructField};

/// The columns in front of the keys. `lake::rows` fills them in this order.
pub const META_COLUMNS: [&str; 8] =
    ["_op", "_ttl", "_changed_at", "_shard", "_sequence", "_sub", "_generation", "_event_id"];
/// DynamoDB JSON of every attribute that has no column or does not fit its column exactly.
pub const REST: &str = "_rest";
/// The old image.
pub const OLD: &str = "_old";

/// The longest attribute name that becomes a column's name, in bytes: what Glue and Athena take.
const MAX_COLUMN_NAME: usize = 255;

/// Attributes that have no column and want one: each once, in the order in which they came.
#[derive(Debug, Default)]
pub struct NewAttributes {
    found: Vec<(String, AttributeType)>,
    names: HashSet<String>,
}

impl NewAttributes {
    /// Adds an attribute unless it is known.
    pub fn add(&mut self, attribute: &str, takes: AttributeType) {
        if !self.names.contains(attribute) {
            self.names.insert(attribute.to_owned());
            self.found.push((attribute.to_owned(), takes));
        }
    }

    /// All of them, for [`TableSchema::grown`].
    pub fn found(&self) -> &[(String, AttributeType)] {
        &self.found
    }

    /// Whether there are so many that a table gets no more columns.
    pub fn fill(&self, schema: &TableSchema, rules: &TableRules) -> bool {
        schema.columns.len() + self.found.len() >= rules.max_columns
    }
}

/// The arrow field metadata that holds the attribute's own name.
const ATTRIBUTE_METADATA: &str = "watershed.attribute";

/// One attribute's column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The attribute's name in DynamoDB.
    pub attribute: String,
    /// The column's name in the files.
    pub column: String,
    /// Which values it takes.
    #[serde(rename = "type")]
    pub takes: AttributeType,
    /// How it is stored.
    #[serde(with = "storage_text")]
    pub storage: ColumnType,
    /// Whether the attribute is part of the table's key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub key: bool,
}

/// What the pipeline file says of a table's columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableRules {
    /// The key attributes, if they are known.
    pub keys: Vec<String>,
    /// Declared columns.
    pub declared: Vec<(String, ColumnType)>,
    /// Attributes that get a Bloom filter and a place in the sort order.
    pub indexes: Vec<String>,
    /// The levels of the Hive partitions.
    pub partition_by: Vec<String>,
    /// The most columns a table gets; further attributes live in `_rest`.
    pub max_columns: usize,
}

/// A version of a table's schema.
#[derive(Debug, Clone)]
pub struct TableSchema {
    /// The table.
    pub table: String,
    /// Its version, from 1; 0 is the empty schema before the first row.
    pub version: u32,
    /// The columns, keys first.
    pub columns: Vec<Column>,
    by_attribute: HashMap<Box<str>, u32>,
}

impl TableSchema {
    /// The schema of a table nobody has seen a row of.
    pub fn empty(table: &str) -> Self {
        Self::new(table.to_owned(), 0, Vec::new())
    }

    /// A schema of these columns.
    pub fn new(table: String, version: u32, columns: Vec<Column>) -> Self {
        let by_attribute =
            columns.iter().enumerate().map(|(at, column)| (column.attribute.as_str().into(), at as u32)).collect();
        Self { table, version, columns, by_attribute }
    }

    /// The index of an attribute's column.
    #[inline]
    pub fn column_of(&self, attribute: &str) -> Option<usize> {
        self.by_attribute.get(attribute).map(|&at| at as usize)
    }

    /// Whether an attribute without a column could get one.
    pub fn wants(&self, attribute: &str, rules: &TableRules) -> bool {
        self.columns.len() < rules.max_columns && attribute.len() <= MAX_COLUMN_NAME
    }

    /// The next version, with a column for each of `seen` that has none and can get one; `None` if nothing is new.
    /// Key attributes come first in the first version.
    pub fn grown(&self, seen: &[(String, AttributeType)], rules: &TableRules) -> Option<Self> {
        let mut columns = self.columns.clone();
        let is_key = |name: &str| rules.keys.iter().position(|key| key == name);
        let mut new: Vec<_> = seen.iter().filter(|(name, _)| self.column_of(name).is_none()).collect();
        new.sort_by_key(|(name, _)| is_key(name).unwrap_or(usize::MAX));
        let mut known = HashSet::new();
        let mut names: HashSet<String> = columns.iter().map(|column| column.column.to_lowercase()).collect();
        for (attribute, seen) in new {
            let is_known = !known.insert(attribute);
            if is_known || columns.len() >= rules.max_columns || attribute.len() > MAX_COLUMN_NAME {
                continue;
            }
            let declared = rules.declared.iter().find(|(name, _)| name == attribute).map(|(_, storage)| storage);
            let (takes, storage) = match declared {
                Some(storage) => (AttributeType::declared(storage, *seen), storage.clone()),
                None => AttributeType::inferred(*seen),
            };
            columns.push(Column {
                attribute: attribute.clone(),
                column: column_name(attribute, &mut names, rules),
                takes,
                storage,
                key: is_key(attribute).is_some(),
            });
        }
        (columns.len() > self.columns.len()).then(|| Self::new(self.table.clone(), self.version + 1, columns))
    }

    /// The arrow schema of the table's files.
    pub fn arrow(&self) -> Arc<Schema> {
        let image = self.image_fields();
        let mut fields = meta_fields();
        fields.extend(image.iter().cloned());
        fields.push(Arc::new(Field::new(OLD, DataType::Struct(image), true)));
        Arc::new(Schema::new(fields))
    }

    /// The fields of an image: one per column, and `_rest`.
    pub fn image_fields(&self) -> Fields {
        let attributes =
            self.columns.iter().map(|column| attribute_field(&column.column, &column.attribute, &column.storage));
        attributes.chain([Arc::new(Field::new(REST, DataType::Utf8, true))]).collect()
    }
}

/// A field that may be null and tells which attribute it holds.
fn attribute_field(name: &str, attribute: &str, storage: &ColumnType) -> Arc<Field> {
    let metadata = std::collections::HashMap::from([(ATTRIBUTE_METADATA.to_owned(), attribute.to_owned())]);
    Arc::new(Field::new(name, data_type(storage), true).with_metadata(metadata))
}

fn meta_fields() -> Vec<Arc<Field>> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let types = [
        (DataType::Utf8, false),
        (DataType::Boolean, false),
        (time, true),
        (DataType::Utf8, false),
        (DataType::Utf8, false),
        (DataType::Int32, false),
        (DataType::Int64, false),
        (DataType::Utf8, false),
    ];
    META_COLUMNS.iter().zip(types).map(|(name, (kind, null))| Arc::new(Field::new(*name, kind, null))).collect()
}

/// The arrow type of a column.
pub fn data_type(storage: &ColumnType) -> DataType {
    match storage {
        ColumnType::String | ColumnType::Json => DataType::Utf8,
        ColumnType::Int64 => DataType::Int64,
        ColumnType::Double => DataType::Float64,
        ColumnType::Decimal(digits) => DataType::Decimal128(digits.precision(), digits.scale() as i8),
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Binary => DataType::Binary,
        ColumnType::List(element) => DataType::List(list_field(element)),
        ColumnType::Struct(fields) => DataType::Struct(struct_fields(fields)),
    }
}

/// The field of a list's elements. `element` is the name of the Parquet specification.
pub fn list_field(element: &ColumnType) -> Arc<Field> {
    Arc::new(Field::new("element", data_type(element), false))
}

/// The fields of a struct column.
pub fn struct_fields(fields: &[StructField]) -> Fields {
    fields.iter().map(|field| attribute_field(&field.column(), &field.name, &field.storage)).collect()
}

/// Column types stand in the schema objects as the pipeline file writes them.
mod storage_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::ColumnType;

    pub(super) fn serialize<S: Serializer>(storage: &ColumnType, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(storage)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ColumnType, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// A name for an attribute's column: the attribute's own where possible. SQL engines fold the case of names, so a name
/// that differs from another only in case gets a number, as does one that is the lake's own (`_op`, or `day` where the
/// files lie in `day=` folders). `taken` are the names there are, folded; the new one is added.
fn column_name(attribute: &str, taken: &mut HashSet<String>, rules: &TableRules) -> String {
    let clean: String = attribute.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
    let clean = if clean.is_empty() { "_".to_owned() } else { clean };
    let mut is_free = |name: &String| {
        let folded = name.to_lowercase();
        let is_folder = |level: &String| *level == folded && super::placement::TIME_LEVELS.contains(&folded.as_str());
        let is_own = META_COLUMNS.contains(&folded.as_str()) || folded == REST || folded == OLD;
        !is_own && !rules.partition_by.iter().any(is_folder) && taken.insert(folded)
    };
    let numbered = (2..).map(|n| format!("{clean}__{n}"));
    std::iter::once(clean.clone()).chain(numbered).find(|name| is_free(name)).unwrap_or(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> TableRules {
        TableRules {
            keys: vec!["Id".into(), "When".into()],
            declared: vec![("Rating".into(), "decimal(3,1)".parse().unwrap()), ("Code".into(), ColumnType::String)],
            partition_by: vec!["day".into()],
            max_columns: 8,
            ..TableRules::default()
        }
    }

    fn seen(names: &[(&str, AttributeType)]) -> Vec<(String, AttributeType)> {
        names.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
    }

    #[test]
    fn grows_at_the_end_and_keeps_what_it_has() {
        let first = TableSchema::empty("T")
            .grown(&seen(&[("Text", AttributeType::S), ("When", AttributeType::S), ("Id", AttributeType::N)]), &rules())
            .unwrap();
        let names = |schema: &TableSchema| schema.columns.iter().map(|c| c.column.clone()).collect::<Vec<_>>();
        assert_eq!(names(&first), ["Id", "When", "Text"]);
        assert_eq!(first.version, 1);
        let second = first.grown(&seen(&[("Text", AttributeType::N), ("Code", AttributeType::N)]), &rules()).unwrap();
        assert_eq!(second.columns[..3], first.columns[..]);
        assert_eq!((second.columns[3].takes, &second.columns[3].storage), (AttributeType::N, &ColumnType::String));
        assert!(second.grown(&seen(&[("Code", AttributeType::S)]), &rules()).is_none());
    }

    #[test]
    fn names_that_clash_are_kept_apart() {
        let names = seen(&[
            ("id", AttributeType::S),
            ("Id", AttributeType::S),
            ("ID", AttributeType::S),
            ("_OP", AttributeType::S),
            ("day", AttributeType::S),
            ("a\u{0}b", AttributeType::S),
            ("a_b", AttributeType::S),
        ]);
        let schema = TableSchema::empty("T").grown(&names, &rules()).unwrap();
        let columns: Vec<_> = schema.columns.iter().map(|c| c.column.as_str()).collect();
        assert_eq!(columns, ["Id", "id__2", "ID__3", "_OP__2", "day__2", "a_b", "a_b__2"]);
    }

    #[test]
    fn a_declared_list_takes_what_came_first_and_a_struct_takes_maps() {
        use AttributeType::*;
        for (storage, seen, takes) in [
            ("list<string>", Ss, Ss),
            ("list<string>", L, L),
            ("list<string>", M, Ss),
            ("list<string>", S, Ss),
            ("list<int64>", L, L),
            ("list<int64>", Ss, Ns),
            ("list<double>", Ns, Ns),
            ("list<binary>", Bs, Bs),
            ("list<bool>", Ss, L),
            ("list<json>", Json, L),
            ("list<list<string>>", Ss, L),
            ("list<struct<a: string>>", M, L),
            ("struct<a: string>", L, M),
            ("json", L, Json),
        ] {
            let rules = TableRules { declared: vec![("a".into(), storage.parse().unwrap())], ..rules() };
            let schema = TableSchema::empty("T").grown(&seen_one(seen), &rules).unwrap();
            assert_eq!(schema.columns[0].takes, takes, "{storage} {seen:?}");
            let text = serde_json::to_string(&schema.columns[0]).unwrap();
            assert!(text.contains(&format!("\"storage\":\"{storage}\"")), "{text}");
            assert_eq!(serde_json::from_str::<Column>(&text).unwrap(), schema.columns[0]);
        }
        for seen in [L, M] {
            let schema = TableSchema::empty("T").grown(&seen_one(seen), &rules()).unwrap();
            assert_eq!((schema.columns[0].takes, &schema.columns[0].storage), (Json, &ColumnType::Json));
        }
    }

    fn seen_one(seen: AttributeType) -> Vec<(String, AttributeType)> {
        vec![("a".to_owned(), seen)]
    }

    #[test]
    fn fields_are_named_as_their_members_where_they_can_be() {
        let DataType::Struct(fields) = data_type(&"struct<a: list<bool>, `b\u{0}`: json>".parse().unwrap()) else {
            panic!("a struct is a struct");
        };
        let named: Vec<_> =
            fields.iter().map(|f| (f.name().as_str(), f.metadata()[ATTRIBUTE_METADATA].as_str())).collect();
        assert_eq!(named, [("a", "a"), ("b_", "b\u{0}")]);
        let DataType::List(element) = fields[0].data_type() else { panic!("a list is a list") };
        assert!(fields.iter().all(|field| field.is_nullable()) && !element.is_nullable());
        assert_eq!(element.name(), "element");
    }

    #[test]
    fn the_number_of_columns_is_bounded() {
        let many: Vec<_> = (0..20).map(|n| (format!("a{n}"), AttributeType::S)).collect();
        let schema = TableSchema::empty("T").grown(&many, &rules()).unwrap();
        assert_eq!(schema.columns.len(), 8);
        assert!(!schema.wants("another", &rules()));
        assert!(schema.grown(&many, &rules()).is_none());
        assert!(TableSchema::empty("T").grown(&seen(&[(&"x".repeat(256), AttributeType::S)]), &rules()).is_none());
    }
}
