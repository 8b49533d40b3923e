//! Does it hold against a real DynamoDB API? `WATERSHED_DYNAMODB_ENDPOINT` names one whose tables may come and go:
//! DynamoDB Local (`tests/tools/dynamodb-local/run.sh`) or MiniStack.

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::ScalarAttributeType;

use super::*;
use crate::change::{Position, SequenceNumber, ShardId};
use crate::checkpoint::StartAt;
use crate::testing::state::conformance;

fn client() -> Client {
    let endpoint = std::env::var("WATERSHED_DYNAMODB_ENDPOINT").expect("WATERSHED_DYNAMODB_ENDPOINT");
    Client::from_conf(
        aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("AKIDEXAMPLE", "secret", None, None, "test"))
            .endpoint_url(endpoint)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build(),
    )
}

fn fresh_name(clock: &Clock) -> String {
    format!("state-{}", clock.token())
}

fn at(number: u64) -> Checkpoint {
    Checkpoint::At { position: Position::new(SequenceNumber::from_ordinal(number)), range: None }
}

fn key(shard: &str) -> CheckpointKey {
    CheckpointKey { stream: "arn:x/y".into(), shard: ShardId::new(shard), sink: "lake".into() }
}

#[tokio::test]
#[ignore = "needs WATERSHED_DYNAMODB_ENDPOINT"]
async fn conforms() {
    let (client, clock) = (client(), Clock::system());
    let table = fresh_name(&clock);
    let state = DynamoDbState::open(client, &table, "forum", clock).await.unwrap();
    conformance(&state).await;
}

#[tokio::test]
#[ignore = "needs WATERSHED_DYNAMODB_ENDPOINT"]
async fn many_processes_create_one_table_and_pipelines_share_it() {
    let (client, clock) = (client(), Clock::system());
    let table = fresh_name(&clock);
    let open = |pipeline| DynamoDbState::open(client.clone(), &table, pipeline, clock.clone());
    let (a, b, c, again) = tokio::join!(open("a"), open("b"), open("a/b"), open("a"));
    let (a, b, c, again) = (a.unwrap(), b.unwrap(), c.unwrap(), again.unwrap());

    for (number, state) in [&a, &b, &c].into_iter().enumerate() {
        state.save(&key("s"), &at(10 + number as u64)).await.unwrap();
    }
    for (number, state) in [&a, &b, &c].into_iter().enumerate() {
        assert_eq!(state.load("arn:x/y").await.unwrap(), [(key("s"), at(10 + number as u64))]);
    }

    again.save(&key("s"), &at(30)).await.unwrap();
    let back = a.save(&key("s"), &at(29)).await;
    assert!(matches!(&back, Err(StateError::Overtaken(text)) if text.contains("at 30, not 29")), "{back:?}");
}

#[tokio::test]
#[ignore = "needs WATERSHED_DYNAMODB_ENDPOINT"]
async fn a_scan_of_many_pages_is_followed_to_its_end() {
    let (client, clock) = (client(), Clock::system());
    let table = fresh_name(&clock);
    let state = DynamoDbState::open(client.clone(), &table, "forum", clock).await.unwrap();
    for number in 0..20 {
        state.save(&key(&format!("shard-{number:02}")), &at(number)).await.unwrap();
        // A page of a scan ends at 1 MB: rows of others between ours make several of it.
        let pad = AttributeValue::S("x".repeat(250_000));
        let name = AttributeValue::S(format!("other/{number}"));
        client.put_item().table_name(&table).item("leaseKey", name).item("pad", pad).send().await.unwrap();
    }
    assert_eq!(state.load("arn:x/y").await.unwrap().len(), 20);
}

#[tokio::test]
#[ignore = "needs WATERSHED_DYNAMODB_ENDPOINT"]
async fn a_later_checkpoint_leaves_nothing_of_an_earlier_one() {
    let (client, clock) = (client(), Clock::system());
    let table = fresh_name(&clock);
    let state = DynamoDbState::open(client, &table, "forum", clock).await.unwrap();
    for checkpoint in [
        Checkpoint::Start(StartAt::Latest(7)),
        Checkpoint::At { position: Position::new(SequenceNumber::from_ordinal(1)), range: Some(4) },
        at(2),
        Checkpoint::ShardEnd,
    ] {
        state.save(&key("s"), &checkpoint).await.unwrap();
        assert_eq!(state.load("arn:x/y").await.unwrap(), [(key("s"), checkpoint)]);
    }
}

#[tokio::test]
#[ignore = "needs WATERSHED_DYNAMODB_ENDPOINT"]
async fn foreign_tables_and_rows_are_left_alone() {
    use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType};
    let (client, clock) = (client(), Clock::system());
    let orders = fresh_name(&clock);
    let hash = KeySchemaElement::builder().attribute_name("Id").key_type(KeyType::Hash).build().unwrap();
    let number =
        AttributeDefinition::builder().attribute_name("Id").attribute_type(ScalarAttributeType::N).build().unwrap();
    let create = client.create_table().table_name(&orders).key_schema(hash).attribute_definitions(number);
    create.billing_mode(BillingMode::PayPerRequest).send().await.unwrap();
    let refused = DynamoDbState::open(client.clone(), &orders, "forum", clock.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("its key is `Id` (N, HASH), expected `leaseKey` (S, HASH)"), "{refused}");
    let misused = DynamoDbState::over(client.clone(), &orders, "forum", clock.clone(), false);
    let refused = misused.save(&key("s"), &at(1)).await.unwrap_err();
    assert!(matches!(refused, StateError::Fatal(_)), "{refused:?}");

    // A row under our key that lacks our attributes is not overwritten.
    let table = fresh_name(&clock);
    let state = DynamoDbState::open(client.clone(), &table, "forum", clock.clone()).await.unwrap();
    let foreign = AttributeValue::S("forum/arn%3Ax%2Fy/s/lake".into());
    client.put_item().table_name(&table).item("leaseKey", foreign).send().await.unwrap();
    let refused = state.save(&key("s"), &at(1)).await.unwrap_err();
    assert!(matches!(&refused, StateError::Fatal(text) if text.contains("delete that row")), "{refused:?}");

    let reader = DynamoDbState::open_read_only(client.clone(), "no-such-table", "forum", clock);
    assert_eq!(reader.load("arn:x/y").await.unwrap(), []);
}
