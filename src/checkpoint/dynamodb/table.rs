//! Is there a state table, and is it one? Creates it if need be and waits until it can be used.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableDescription, TableStatus,
};

use super::errors::{is_missing_table, state_error};
use super::row::LEASE_KEY;
use crate::checkpoint::StateError;
use crate::clock::Clock;

/// Creating a table takes seconds; AWS's own tools wait ten minutes.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
const POLL: Duration = Duration::from_secs(1);

/// Returns once the table is there, usable and of the right key.
pub(super) async fn ensure(client: &Client, table: &str, clock: &Clock) -> Result<(), StateError> {
    let give_up = clock.now() + PATIENCE;
    let mut created = false;
    loop {
        match describe(client, table).await? {
            Some(found) => {
                check_key(table, &found)?;
                match found.table_status() {
                    // Rows can be read and written while settings of the table change.
                    Some(TableStatus::Active | TableStatus::Updating) => return Ok(()),
                    Some(TableStatus::Creating | TableStatus::Deleting) => {}
                    other => {
                        let status = other.map_or("no status", TableStatus::as_str);
                        return Err(StateError::Fatal(format!(
                            "the state table {table} cannot be used: it is {status}"
                        )));
                    }
                }
            }
            // Its description lags behind its creation: it is created once, then waited for.
            None if created => {}
            None => {
                create(client, table).await?;
                created = true;
            }
        }
        if clock.now() >= give_up {
            let minutes = PATIENCE.as_secs() / 60;
            return Err(StateError::Fatal(format!("the state table {table} is not usable after {minutes} minutes")));
        }
        clock.sleep(POLL).await;
    }
}

async fn describe(client: &Client, table: &str) -> Result<Option<TableDescription>, StateError> {
    match client.describe_table().table_name(table).send().await {
        Ok(answer) => Ok(answer.table),
        Err(error) if is_missing_table(&error) => Ok(None),
        Err(error) => Err(state_error("look at the state table", table, &error)),
    }
}

async fn create(client: &Client, table: &str) -> Result<(), StateError> {
    let bug = |error: aws_sdk_dynamodb::error::BuildError| StateError::Fatal(error.to_string());
    let hash = KeySchemaElement::builder().attribute_name(LEASE_KEY).key_type(KeyType::Hash).build().map_err(bug)?;
    let text = AttributeDefinition::builder()
        .attribute_name(LEASE_KEY)
        .attribute_type(ScalarAttributeType::S)
        .build()
        .map_err(bug)?;
    let created = client
        .create_table()
        .table_name(table)
        .key_schema(hash)
        .attribute_definitions(text)
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await;
    match created {
        Ok(_) => {
            tracing::info!(table, "created the state table");
            Ok(())
        }
        // Another process was quicker, or our own first request whose answer got lost.
        Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => Ok(()),
        Err(error) => Err(state_error("create the state table", table, &error)),
    }
}

/// Another application's table is refused before anything is written to it.
fn check_key(table: &str, found: &TableDescription) -> Result<(), StateError> {
    let type_of = |name: &str| {
        let definition = found.attribute_definitions().iter().find(|definition| definition.attribute_name() == name);
        definition.map_or("?", |definition| definition.attribute_type().as_str())
    };
    let keys: Vec<String> = found
        .key_schema()
        .iter()
        .map(|key| {
            format!("`{}` ({}, {})", key.attribute_name(), type_of(key.attribute_name()), key.key_type().as_str())
        })
        .collect();
    let (keys, expected) = (keys.join(" and "), format!("`{LEASE_KEY}` (S, HASH)"));
    if keys == expected {
        return Ok(());
    }
    Err(StateError::Fatal(format!(
        "the table {table} cannot hold the state: its key is {keys}, expected {expected}; name another table"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(keys: &[(&str, KeyType, ScalarAttributeType)]) -> TableDescription {
        let mut table = TableDescription::builder();
        for (name, kind, scalar) in keys {
            let key = KeySchemaElement::builder().attribute_name(*name).key_type(kind.clone()).build().unwrap();
            let definition = AttributeDefinition::builder().attribute_name(*name).attribute_type(scalar.clone());
            table = table.key_schema(key).attribute_definitions(definition.build().unwrap());
        }
        table.build()
    }

    #[test]
    fn a_table_of_another_key_is_refused_and_both_keys_are_named() {
        use {KeyType::Hash, KeyType::Range, ScalarAttributeType as Scalar};
        assert!(check_key("t", &table(&[("leaseKey", Hash, Scalar::S)])).is_ok());
        let orders = table(&[("Id", Hash, Scalar::N), ("At", Range, Scalar::S)]);
        assert_eq!(
            check_key("orders", &orders).unwrap_err().to_string(),
            "the table orders cannot hold the state: its key is `Id` (N, HASH) and `At` (S, RANGE), \
             expected `leaseKey` (S, HASH); name another table"
        );
        for wrong in [
            table(&[("leaseKey", Hash, Scalar::B)]),
            table(&[("leaseKey", Hash, Scalar::S), ("x", Range, Scalar::S)]),
            table(&[]),
        ] {
            assert!(check_key("t", &wrong).is_err());
        }
    }
}
