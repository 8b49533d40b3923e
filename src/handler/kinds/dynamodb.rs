//! How is another DynamoDB table kept the same?
//!
//! Each change is one write of the whole item, or one deletion: repeated, they give the same. Changes of one item are
//! written in their order, those of different items at the same time.

mod plan;
mod value;

use std::sync::Arc;

use aws_config::Region;
use aws_config::sts::AssumeRoleProvider;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::AttributeValue;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::aws::{ATTEMPTS, config, fault};
use super::payloads::outcome;
use crate::BoxFuture;
use crate::handler::{Change, Delivery, Failure, Handler, HandlerError, ItemId, Outcome, Verdict};
use crate::pipeline::spec;
use crate::source::Aws;

use plan::{Plan, plan};

/// How many items of a call are written at the same time.
const AT_ONCE: usize = 16;
/// What the role's sessions are called in the account's logs.
const SESSION: &str = "watershed";

/// Where the replica is.
pub struct Replica<'a> {
    /// Its name or ARN.
    pub table: &'a str,
    /// Its region; `None`: ours.
    pub region: Option<&'a str>,
    /// The role that may write it; `None`: ours.
    pub role: Option<&'a str>,
}

/// A handler of `type = "dynamodb"`.
pub struct DynamoDb {
    table: Arc<Table>,
    aws: aws_config::SdkConfig,
    role: Option<String>,
    client: tokio::sync::OnceCell<Client>,
    at_once: Arc<Semaphore>,
}

/// The table, and how it is written.
struct Table {
    name: String,
    handler: String,
    loop_attribute: Option<String>,
}

impl DynamoDb {
    /// For this replica. A role is assumed with the first change.
    pub fn new(aws: &Aws, handler: &spec::Handler, replica: &Replica<'_>, loop_attribute: Option<String>) -> Self {
        let mut config = config(aws, handler, ATTEMPTS, replica.table).to_builder();
        if let Some(region) = replica.region {
            config.set_region(Some(Region::new(region.to_owned())));
        }
        let (name, handler) = (replica.table.to_owned(), handler.name.clone());
        Self {
            table: Arc::new(Table { name, handler, loop_attribute }),
            aws: config.build(),
            role: replica.role.map(str::to_owned),
            client: tokio::sync::OnceCell::new(),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    async fn client(&self) -> &Client {
        let make = || async {
            let Some(role) = &self.role else { return Client::new(&self.aws) };
            let provider = AssumeRoleProvider::builder(role).session_name(SESSION).configure(&self.aws).build().await;
            let config = self.aws.to_builder();
            let provider = aws_sdk_dynamodb::config::SharedCredentialsProvider::new(provider);
            Client::new(&config.credentials_provider(provider).build())
        };
        self.client.get_or_init(make).await
    }

    async fn call(&self, delivery: &Delivery) -> Result<Outcome, HandlerError> {
        let client = self.client().await;
        let mut writing = JoinSet::new();
        for (_, changes) in by_item(delivery) {
            let (client, table, at_once) = (client.clone(), self.table.clone(), self.at_once.clone());
            writing.spawn(async move {
                // Nobody closes it.
                let _permit = at_once.acquire_owned().await;
                table.write_all(&client, changes).await
            });
        }
        let (mut failures, mut error, mut any) = (Vec::new(), None, false);
        while let Some(written) = writing.join_next().await {
            let Ok(written) = written else {
                return Err(HandlerError::Failed("a write ended unexpectedly".to_owned()));
            };
            any |= written.any;
            failures.extend(written.failures);
            error = error.or(written.error);
        }
        match error {
            // Nothing was written: it is the call that failed, and the error says what to do.
            Some(error) if !any => Err(error),
            _ => Ok(outcome(failures)),
        }
    }
}

/// The changes of each item, in their order, with their places.
fn by_item(delivery: &Delivery) -> Vec<(ItemId, Vec<(usize, Change)>)> {
    let mut items: Vec<(ItemId, Vec<(usize, Change)>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (index, change) in delivery.changes.iter().enumerate() {
        let place = *places.entry(change.item).or_insert_with(|| {
            items.push((change.item, Vec::new()));
            items.len() - 1
        });
        items[place].1.push((index, change.clone()));
    }
    items
}

/// What became of an item's changes.
#[derive(Default)]
struct Written {
    any: bool,
    failures: Vec<Failure>,
    error: Option<HandlerError>,
}

impl Table {
    /// Writes the changes of one item until one can't be written for now: those behind it wait with it.
    async fn write_all(&self, client: &Client, changes: Vec<(usize, Change)>) -> Written {
        let mut written = Written::default();
        let mut stopped: Option<String> = None;
        for (index, change) in changes {
            if let Some(why) = &stopped {
                written.failures.push(Failure { index, why: why.clone(), verdict: Verdict::Unhandled });
                continue;
            }
            match self.write(client, &change).await {
                Ok(()) => written.any = true,
                Err(HandlerError::Refused(why)) => {
                    written.failures.push(Failure { index, why, verdict: Verdict::Refused })
                }
                Err(error) => {
                    let why = error.to_string();
                    written.failures.push(Failure { index, why: why.clone(), verdict: Verdict::Retry });
                    written.error = Some(error);
                    stopped = Some(format!("it stands behind a change of the same item: {why}"));
                }
            }
        }
        written
    }

    async fn write(&self, client: &Client, change: &Change) -> Result<(), HandlerError> {
        let id = change.delivery_id(&self.handler);
        match plan(change, self.loop_attribute.as_deref(), &id).map_err(HandlerError::Refused)? {
            Plan::Skip => Ok(()),
            Plan::Put(item) => {
                let call = client.put_item().table_name(&self.name).set_item(Some(item));
                call.send().await.map(drop).map_err(|error| fault("dynamodb:PutItem", &error))
            }
            Plan::Delete { key, mark } => {
                if let (Some(mark), Some(attribute)) = (mark, &self.loop_attribute) {
                    self.mark(client, &key, attribute, mark).await?;
                }
                let call = client.delete_item().table_name(&self.name).set_key(Some(key));
                call.send().await.map(drop).map_err(|error| fault("dynamodb:DeleteItem", &error))
            }
        }
    }

    /// Marks an item that is about to be deleted; one that is not there stays so.
    async fn mark(
        &self,
        client: &Client,
        key: &value::Item,
        attribute: &str,
        mark: String,
    ) -> Result<(), HandlerError> {
        let Some(name) = key.keys().next() else { return Ok(()) };
        let call = client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key.clone()))
            .update_expression("SET #mark = :mark")
            .condition_expression("attribute_exists(#key)")
            .expression_attribute_names("#mark", attribute)
            .expression_attribute_names("#key", name)
            .expression_attribute_values(":mark", AttributeValue::S(mark));
        match call.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(()),
            Err(error) => Err(fault("dynamodb:UpdateItem", &error)),
        }
    }
}

impl Handler for DynamoDb {
    fn handle<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Outcome, HandlerError>> {
        Box::pin(self.call(delivery))
    }
}
