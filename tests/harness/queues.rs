//! Queues of a server, and what is in them.

use serde_json::{Value, json};

use super::{LIMIT, tools, wait_for};

/// What an operation of a service answers.
pub fn call(endpoint: &str, service: &str, operation: &str, arguments: &Value) -> Value {
    tools().run("aws.py", &[endpoint, service, operation, &arguments.to_string()])
}

/// A queue of that name; its URL.
pub fn new_queue(endpoint: &str, name: &str) -> String {
    let attributes = if name.ends_with(".fifo") { json!({ "FifoQueue": "true" }) } else { json!({}) };
    let made = call(endpoint, "sqs", "create_queue", &json!({ "QueueName": name, "Attributes": attributes }));
    made["QueueUrl"].as_str().unwrap().to_owned()
}

/// So many messages of a queue, in the order in which they come.
pub fn messages(endpoint: &str, queue: &str, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    wait_for("messages", LIMIT, || {
        let arguments = json!({
            "QueueUrl": queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 0, "VisibilityTimeout": 600,
            "AttributeNames": ["All"], "MessageAttributeNames": ["All"],
        });
        let got = call(endpoint, "sqs", "receive_message", &arguments);
        found.extend(got["Messages"].as_array().into_iter().flatten().cloned());
        (found.len() >= count).then_some(())
    });
    assert_eq!(found.len(), count, "{found:#?}");
    found
}

/// The JSON of a message's body.
pub fn body(message: &Value) -> Value {
    serde_json::from_str(message["Body"].as_str().unwrap()).unwrap()
}
