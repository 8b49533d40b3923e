//! Do the quick walk over a record and the careful one give the same rows, whatever the record is?

mod reference;

use proptest::prelude::*;

use super::agree::check;

/// Text as JSON writes it between quotes.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-c]{0,3}",
        1 => "[a-z {}\\[\\],:]{0,70}",
        1 => r#"([a-z]{0,9}|\\\\|\\"|\\n|\\/|\\u00e9|\\ud83d\\ude00|\\ud83d|é|😀){0,12}"#,
    ]
}

fn value() -> impl Strategy<Value = String> {
    let number = prop_oneof!["-?[0-9]{1,3}(\\.[0-9]{1,3})?", "[0-9]{30,45}", "[0-9]e[+-]?[0-9]{1,3}", "0[0-9]|x||1 "];
    let scalar = prop_oneof![
        text().prop_map(|text| format!(r#"{{"S":"{text}"}}"#)),
        number.prop_map(|number| format!(r#"{{"N":"{number}"}}"#)),
        prop_oneof!["([A-Za-z0-9+/]{4}){0,3}", "[A-Za-z=]{1,6}"].prop_map(|bytes| format!(r#"{{"B":"{bytes}"}}"#)),
        proptest::sample::select(vec![
            r#"{"BOOL":true}"#,
            r#"{"BOOL":false}"#,
            r#"{"NULL":true}"#,
            r#"{"NULL":false}"#,
            r#"{"X":"y"}"#,
            r#"{"S":"a","N":"1"}"#,
            r#"{ "S" : "a" }"#,
            r#"{"S":"a" }"#,
            "{}",
            "7",
            r#"{"\u0053":"x"}"#,
            r#"{"SS":[1]}"#,
        ])
        .prop_map(str::to_owned),
        (proptest::sample::select(vec!["SS", "NS", "BS"]), proptest::collection::vec(text(), 0..4)).prop_map(
            |(kind, texts)| {
                let texts: Vec<_> = texts.iter().map(|text| format!("\"{text}\"")).collect();
                format!(r#"{{"{kind}":[{}]}}"#, texts.join(","))
            }
        ),
    ];
    scalar.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|values| format!(r#"{{"L":[{}]}}"#, values.join(","))),
            proptest::collection::vec((text(), inner), 0..4).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!(r#"{{"M":{{{}}}}}"#, members.join(","))
            }),
        ]
    })
}

fn image() -> impl Strategy<Value = String> {
    let name = prop_oneof![3 => "[a-e]".boxed(), 1 => text().boxed()];
    proptest::collection::vec((name, value()), 0..8).prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

fn record() -> impl Strategy<Value = String> {
    (image(), image(), text(), any::<bool>()).prop_map(|(new, old, id, spaced)| {
        let space = if spaced { " " } else { "" };
        format!(
            r#"{{"eventID":"{id}","eventName":"MODIFY","userIdentity":null,"tableName":"T","dynamodb":{{"ApproximateCreationDateTime":{space}1795165200000,"Keys":{{"a":{{"S":"k"}}}},"NewImage":{new},"OldImage":{space}{old},"SizeBytes":9}},"eventSource":"aws:dynamodb"}}"#
        )
    })
}

/// A change to the bytes: what is put at a place, and how much it replaces.
fn damage() -> impl Strategy<Value = (proptest::sample::Index, usize, Vec<u8>)> {
    let piece = proptest::sample::select(vec![
        &b"\""[..],
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b" ",
        b"\n",
        b"\x01",
        b"\xff",
        b"x",
        b"",
        b"\"a\":{\"S\":\"",
        b"\\\"",
    ]);
    (any::<proptest::sample::Index>(), 0usize..3, piece.prop_map(<[u8]>::to_vec))
}

fn damaged(record: &str, damages: &[(proptest::sample::Index, usize, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = record.as_bytes().to_vec();
    for (place, replaced, piece) in damages {
        let at = place.index(bytes.len());
        let end = (at + replaced).min(bytes.len());
        bytes.splice(at..end, piece.iter().copied());
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn quick_and_careful_agree(
        first in record(), second in record(), damages in proptest::collection::vec(damage(), 0..3), nested in any::<bool>(),
    ) {
        let payloads = [first.clone().into_bytes(), second.clone().into_bytes(), damaged(&first, &damages), damaged(&second, &damages)];
        check(&payloads, nested);
    }
}
