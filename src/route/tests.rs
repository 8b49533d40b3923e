//! Do patterns match what the engine behind Lambda's filters says they match?

use super::*;
use crate::change::Channel;
use crate::decode::envelope;
use serde_json::value::RawValue;

#[derive(serde::Deserialize)]
struct Case<'a> {
    id: String,
    #[serde(borrow)]
    pattern: &'a RawValue,
    #[serde(borrow)]
    record: &'a RawValue,
    matches: bool,
    note: String,
}

#[derive(serde::Deserialize)]
struct Invalid<'a> {
    #[serde(borrow)]
    pattern: &'a RawValue,
    reason: String,
}

pub(super) fn matches(pattern: &str, record: &str) -> bool {
    matches_with(pattern, record, Extensions::default())
}

fn matches_with(pattern: &str, record: &str, extensions: Extensions) -> bool {
    let filter = Filter::parse(&[pattern], extensions).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    filter.matches(record.as_bytes(), None).unwrap_or_else(|error| panic!("{record}: {error}"))
}

fn error(pattern: &str) -> String {
    Pattern::parse(pattern).expect_err(pattern).to_string()
}

#[test]
fn patterns_match_what_lambda_says() {
    let cases: Vec<Case<'_>> = serde_json::from_str(include_str!("../../tests/fixtures/filter_cases.json")).unwrap();
    assert_eq!(cases.len(), 56);
    for Case { id, pattern, record, matches: expected, note } in cases {
        assert_eq!(matches(pattern.get(), record.get()), expected, "{id}: {pattern} {note}");
    }
}

#[test]
fn what_lambda_refuses_is_refused() {
    let cases = include_str!("../../tests/fixtures/filter_invalid_patterns.json");
    let cases: Vec<Invalid<'_>> = serde_json::from_str(cases).unwrap();
    assert_eq!(cases.len(), 20);
    for Invalid { pattern, reason } in cases {
        let error = error(pattern.get());
        assert!(!error.contains("not JSON"), "{pattern} ({reason}): {error}");
    }
}

#[test]
fn a_mistake_is_shown_with_its_place_and_cure() {
    for (pattern, shown) in [
        (
            "{\"dynamodb\": {\n  \"NewImage\": {\"ä\": {\"S\": [{\"prefx\": \"x\"}]}}}}",
            "line 2, column 29, in `dynamodb.NewImage.ä.S`: there is no operator `prefx`; the operators are `prefix`, \
             `suffix`, `equals-ignore-case`, `anything-but`, `numeric`, `exists`, `wildcard`, `cidr` and `exactly`",
        ),
        (
            r#"{"a": "x"}"#,
            "line 1, column 7, in `a`: a field's value is an array or an object; put the value into `[` and `]`",
        ),
        (r#"[1]"#, "line 1, column 1: a pattern is an object; write it as `{\"field\": [\"value\"]}`"),
        (
            r#"{"a": ["x"}"#,
            "line 1, column 11, in `a`: it is not JSON: expected `,` or `]`; write the pattern as a JSON object",
        ),
        (
            r#"{"a": {"N": [{"number": [">", "1"]}]}}"#,
            "line 1, column 15, in `a.N`: `number` is an extension that is switched off; switch on `typed_numbers` for \
             it (Lambda does not know it), or compare texts: `[\"19.99\"]`",
        ),
    ] {
        assert_eq!(error(pattern), shown);
    }
    let second = Filter::parse(&[r#"{"a":[1]}"#, r#"{"a":[]}"#], Extensions::default()).unwrap_err();
    assert_eq!(second.number, 2);
    assert_eq!(second.error.offset, 5);
    assert!(second.to_string().starts_with("pattern 2: line 1, column 6, in `a`: the array is empty"));
}

#[test]
fn more_that_is_refused() {
    for pattern in [
        "",
        " ",
        "{",
        "{}x",
        r#"{"a":[1],}"#,
        r#"{"a":[1]} {}"#,
        r#"{"a":[01]}"#,
        r#"{"a":[tru]}"#,
        r#"{"a":{"b":1}}"#,
        r#"{"a":[{}]}"#,
        r#"{"a":[{"exactly":1}]}"#,
        r#"{"a":[{"prefix":{"suffix":"x"}}]}"#,
        r#"{"a":[{"suffix":{}}]}"#,
        r#"{"a":[{"prefix":{"equals-ignore-case":"x","y":1}}]}"#,
        r#"{"a":[{"equals-ignore-case":["x"]}]}"#,
        r#"{"a":[{"anything-but":true}]}"#,
        r#"{"a":[{"anything-but":[null]}]}"#,
        r#"{"a":[{"anything-but":{}}]}"#,
        r#"{"a":[{"anything-but":{"numeric":["=",1]}}]}"#,
        r#"{"a":[{"anything-but":{"prefix":[]}}]}"#,
        r#"{"a":[{"anything-but":{"prefix":["x",1]}}]}"#,
        r#"{"a":[{"anything-but":{"wildcard":"**"}}]}"#,
        r#"{"a":[{"anything-but":9007199254740993}]}"#,
        r#"{"a":[{"numeric":[]}]}"#,
        r#"{"a":[{"numeric":["="]}]}"#,
        r#"{"a":[{"numeric":["=",9007199254740993]}]}"#,
        r#"{"a":[{"numeric":["<",1e400]}]}"#,
        r#"{"a":[{"numeric":[">",5,"<",5]}]}"#,
        r#"{"a":[{"numeric":[">",1,"<",5,"<",6]}]}"#,
        r#"{"a":[{"numeric":1}]}"#,
        r#"{"a":[{"numeric":["=",1,"<",5]}]}"#,
        r#"{"a":[{"numeric":[">",1,">",5]}]}"#,
        r#"{"a":[{"cidr":"10.0.0.0"}]}"#,
        r#"{"a":[{"cidr":8}]}"#,
        r#"{"a":[{"exists":1}]}"#,
        r#"{"$or":{"a":[1]}}"#,
        r#"{"$or":[1,2]}"#,
        r#"{"$or":[]}"#,
        r#"{"$or":[{"a":[1]},{}]}"#,
        r#"{"$or":[{"a":{"date-after":[1]}},{"b":[1]}]}"#,
        r#"{"\ud800":[1]}"#,
        r#"{"a":["\ud800"]}"#,
        r#"{"a":[{"prefix":"x"}"#,
    ] {
        assert!(Pattern::parse(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn size_and_depth_of_patterns_are_bounded() {
    let nested = |levels: usize| r#"{"a":"#.repeat(levels) + "[1]" + &"}".repeat(levels);
    assert!(Pattern::parse(&nested(128)).is_ok());
    assert!(error(&nested(129)).contains("nested too deeply"));
    assert!(error(&nested(100_000)).contains("nested too deeply"));
    assert!(error(&r#"{"$or":["#.repeat(100_000)).contains("nested too deeply"));
    let branches = |count: usize| vec![r#""$or":[{"a":["1"]},{"b":["2"]}]"#; count].join(",");
    assert!(Pattern::parse(&format!("{{{}}}", branches(9))).is_ok());
    assert!(error(&format!("{{{}}}", branches(100))).contains("combine in too many ways"));
    let fields = |count: usize| (0..count).map(|at| format!(r#""{at}":[1]"#)).collect::<Vec<_>>().join(",");
    assert!(Pattern::parse(&format!("{{{}}}", fields(1000))).is_ok());
    assert!(error(&format!("{{{}}}", fields(1001))).contains("too many fields"));
}

#[test]
fn objects_that_come_twice_merge_and_of_arrays_the_last_counts() {
    // The example of the AWS documentation needs both.
    let pattern = r#"{"dynamodb":{"NewImage":{"s":{"S":["PAID"]}}},"dynamodb":{"OldImage":{"s":{"S":["NEW"]}}}}"#;
    let record = |new: &str, old: &str| {
        format!(r#"{{"dynamodb":{{"NewImage":{{"s":{{"S":"{new}"}}}},"OldImage":{{"s":{{"S":"{old}"}}}}}}}}"#)
    };
    assert!(matches(pattern, &record("PAID", "NEW")));
    assert!(!matches(pattern, &record("PAID", "PAID")) && !matches(pattern, &record("NEW", "NEW")));
    assert!(
        matches(r#"{"a":["x"],"a":["y"]}"#, r#"{"a":"y"}"#) && !matches(r#"{"a":["x"],"a":["y"]}"#, r#"{"a":"x"}"#)
    );
    assert!(matches(r#"{"a":{"b":["x"]},"a.b":["y"]}"#, r#"{"a":{"b":"y"}}"#));
    // Also across `$or`, whose branches come later or earlier.
    assert!(matches(r#"{"a":["x"],"$or":[{"a":["y"]},{"b":["1"]}]}"#, r#"{"a":"y"}"#));
    assert!(!matches(r#"{"$or":[{"a":["y"]},{"b":["1"]}],"a":["x"]}"#, r#"{"a":"y"}"#));
}

#[test]
fn operators_do_what_they_say() {
    for (matcher, value, expected) in [
        (r#"{"anything-but":{"prefix":["a","b"]}}"#, r#""bx""#, false),
        (r#"{"anything-but":{"prefix":["a","b"]}}"#, r#""cx""#, true),
        (r#"{"anything-but":{"suffix":"x"}}"#, "7", true),
        (r#"{"anything-but":{"equals-ignore-case":["a","B"]}}"#, r#""b""#, false),
        (r#"{"anything-but":{"wildcard":"a*z"}}"#, r#""abz""#, false),
        (r#"{"anything-but":[1,2.50]}"#, "2.5", false),
        (r#"{"anything-but":[1]}"#, r#""1""#, true),
        (r#"{"anything-but":1}"#, "1e0", false),
        (r#"{"anything-but":"x"}"#, "[]", false),
        (r#"{"suffix":{"equals-ignore-case":".PNG"}}"#, r#""a.png""#, true),
        (r#"{"suffix":""}"#, r#""""#, true),
        (r#"{"suffix":""}"#, "1", false),
        (r#"{"wildcard":"*"}"#, "null", false),
        (r#"{"exactly":"x"}"#, r#""x""#, true),
        (r#"{"numeric":["<=",1,"#, "1", true),
        (r#"{"cidr":"10.0.0.0/8"}"#, r#""10.1.2.3""#, true),
        (r#"{"cidr":"10.0.0.0/8"}"#, r#""11.1.2.3""#, false),
        ("300", "3.0e2", true),
        ("9007199254740993", "9007199254740993", true),
        ("9007199254740993", "9007199254740992", false),
        ("1e400", "1e400", true),
        (r#"{"numeric":[">",0]}"#, "9007199254740993", false),
        (r#"{"numeric":[">",0]}"#, "1e400", false),
        (r#"{"numeric":[">",-1]}"#, "-0.5", true),
        (r#"{"numeric":["=",46]}"#, r#""46""#, false),
        (r#"{"exists":true}"#, "[[1]]", true),
        (r#"{"exists":true}"#, "[[],{}]", false),
    ] {
        let matcher = if matcher.ends_with(',') { r#"{"numeric":["<=",1]}"# } else { matcher };
        let (pattern, record) = (format!(r#"{{"a":[{matcher}]}}"#), format!(r#"{{"a":{value}}}"#));
        assert_eq!(matches(&pattern, &record), expected, "{pattern} {record}");
    }
}

#[test]
fn fields_of_one_array_are_those_of_one_element() {
    let pattern = r#"{"l":{"a":["1"],"b":["2"]},"m":{"c":["3"]}}"#;
    assert!(matches(pattern, r#"{"m":[{"c":"0"},{"c":"3"}],"l":[{"a":"1","b":"1"},{"a":"1","b":"2"}]}"#));
    assert!(!matches(pattern, r#"{"m":[{"c":"3"}],"l":[{"a":"1"},{"b":"2"}]}"#));
    // Elements that lie deeper belong to the outer element, too.
    assert!(!matches(
        r#"{"l":{"a":["1"],"m":{"b":["2"]}}}"#,
        r#"{"l":[{"a":"1","m":[{"b":"1"}]},{"a":"2","m":[{"b":"2"}]}]}"#
    ));
    assert!(matches(r#"{"l":{"a":["1"],"m":{"b":["2"]}}}"#, r#"{"l":[{"m":[{"b":"1"},{"b":"2"}],"a":"1"}]}"#));
    // What is absent from the element that was chosen is absent.
    let absent = r#"{"l":{"a":["1"],"b":[{"exists":false}]}}"#;
    assert!(matches(absent, r#"{"l":[{"a":"1"},{"b":"2"}]}"#));
    assert!(!matches(absent, r#"{"l":[{"a":"1","b":"3"},{"b":"2"}]}"#));
    // But it is the earlier name that chooses.
    assert!(!matches(r#"{"l":{"b":["1"],"a":[{"exists":false}]}}"#, r#"{"l":[{"b":"1"},{"a":"2"}]}"#));
    // Arrays in arrays exclude each other, plain values in an array do not.
    assert!(!matches(r#"{"l":{"a":["1"],"b":["2"]}}"#, r#"{"l":[[{"a":"1"}],[{"b":"2"}]]}"#));
    assert!(matches(r#"{"l":["x"],"l.a":["1"]}"#, r#"{"l":["x",{"a":"1"}]}"#));
}

#[test]
fn user_identity_is_known_in_both_spellings() {
    let ttl = r#"{"userIdentity":{"type":["Service"],"principalId":["dynamodb.amazonaws.com"]}}"#;
    let page = include_str!("../../tests/fixtures/streams_getrecords_page.json");
    let page: serde_json::Value = serde_json::from_str(page).unwrap();
    let lambda = include_str!("../../tests/fixtures/lambda_dynamodb_event.json");
    let lambda: serde_json::Value = serde_json::from_str(lambda).unwrap();
    let mut expired = 0;
    for record in [&page, &lambda].into_iter().flat_map(|page| page["Records"].as_array().unwrap()) {
        let record = record.to_string();
        let is_ttl = envelope::read(record.as_bytes(), Channel::Streams).unwrap().ttl;
        assert_eq!(matches(ttl, &record), is_ttl, "{record}");
        assert_eq!(matches(&ttl.replace("type", "Type").replace("principalId", "PrincipalId"), &record), is_ttl);
        assert_eq!(matches(r#"{"userIdentity":{"type":[{"exists":false}]}}"#, &record), !is_ttl);
        expired += usize::from(is_ttl);
    }
    assert!(expired >= 2);
    // There, and nowhere else.
    assert!(!matches(r#"{"x":{"type":["a"]}}"#, r#"{"x":{"Type":"a"}}"#));
    assert!(!matches(r#"{"x":{"userIdentity":{"type":["a"]}}}"#, r#"{"x":{"userIdentity":{"Type":"a"}}}"#));
    assert!(matches(r#"{"userIdentity.Type":["a"]}"#, r#"{"userIdentity":{"type":"a"}}"#));
}

#[test]
fn the_arn_of_the_stream_is_added_if_the_record_has_none() {
    let pattern = r#"{"eventSourceARN":[{"suffix":"table/Orders"}],"eventName":["INSERT"]}"#;
    let filter = Filter::parse(&[pattern], Extensions::default()).unwrap();
    let passes = |record: &str, arn| filter.matches(record.as_bytes(), arn).unwrap();
    let bare = r#"{"eventName":"INSERT"}"#;
    assert!(
        passes(bare, Some("arn:aws:dynamodb:::table/Orders")) && !passes(bare, Some("arn:x")) && !passes(bare, None)
    );
    assert!(!passes(r#"{"eventName":"INSERT","eventSourceARN":"arn:x"}"#, Some("arn:aws:dynamodb:::table/Orders")));
    let absent = Filter::parse(&[r#"{"eventSourceARN":[{"exists":false}]}"#], Extensions::default()).unwrap();
    assert!(absent.matches(b"{}", None).unwrap() && !absent.matches(b"{}", Some("arn:x")).unwrap());
}

#[test]
fn numbers_of_dynamodb_compare_by_value_if_that_is_switched_on() {
    let extensions = Extensions { typed_numbers: true };
    let passes = |operand: &str, number: &str| {
        let pattern = format!(r#"{{"dynamodb":{{"NewImage":{{"total":{{"N":[{{"number":{operand}}}]}}}}}}}}"#);
        let record = format!(r#"{{"dynamodb":{{"NewImage":{{"total":{{"N":"{number}"}}}}}}}}"#);
        matches_with(&pattern, &record, extensions)
    };
    assert!(passes(r#"["=","1"]"#, "1.0") && passes(r#"["=",1]"#, "1") && !passes(r#"["=","1"]"#, "10"));
    assert!(passes(r#"[">","10"]"#, "19.99") && !passes(r#"[">","10"]"#, "9") && !passes(r#"[">","10"]"#, "10.0"));
    assert!(passes(r#"[">=","0.1","<","1e3"]"#, "999.9999") && !passes(r#"[">=","0.1","<","1e3"]"#, "1000"));
    let large = "12345678901234567890123456789012345678";
    assert!(passes(&format!(r#"["=","{large}"]"#), large));
    assert!(passes(r#"["<","12345678901234567890123456789012345679"]"#, large));
    assert!(!passes(r#"[">","0"]"#, "many") && passes(r#"["<","-1"]"#, "-1e125"));
    for wrong in [r#"[">","x"]"#, r#"[">",true]"#, r#"[">","2","<","1.9"]"#, r#"[">","2","<","2.0"]"#, r#""5""#] {
        let pattern = format!(r#"{{"a":{{"N":[{{"number":{wrong}}}]}}}}"#);
        assert!(Pattern::parse_with(&pattern, extensions).is_err(), "{pattern}");
    }
    let misplaced = Pattern::parse_with(r#"{"a":[{"number":["=","1"]}]}"#, extensions).unwrap_err();
    assert!(misplaced.to_string().contains("stand below `N` or `NS`"));
}

#[test]
fn several_patterns_are_alternatives_and_none_lets_everything_pass() {
    let filter = Filter::parse(&[r#"{"a":["1"]}"#, r#"{"b":["2"],"a":["3"]}"#], Extensions::default()).unwrap();
    let passes = |record: &str| filter.matches(record.as_bytes(), None).unwrap();
    assert!(passes(r#"{"a":"1"}"#) && passes(r#"{"b":"2","a":"3"}"#) && !passes(r#"{"b":"2","a":"2"}"#));
    assert!(Filter::new([]).matches(b"whatever", None).unwrap());
}

#[test]
fn members_that_come_twice_both_count() {
    let pattern = r#"{"eventName":["INSERT"],"dynamodb":{"Keys":{"a":{"S":["x"]}}}}"#;
    let keys = r#""dynamodb":{"Keys":{"a":{"S":"x"}}}"#;
    assert!(matches(pattern, &format!(r#"{{"eventName":"REMOVE","eventName":"INSERT",{keys}}}"#)));
    assert!(matches(pattern, &format!(r#"{{"eventName":"REMOVE",{keys},"eventName":"INSERT"}}"#)));
    assert!(matches(pattern, &format!(r#"{{"eventName":"REMOVE",{keys},"eventName":["REMOVE","INSERT"]}}"#)));
    assert!(!matches(pattern, &format!(r#"{{"eventName":"REMOVE",{keys}}}"#)));
    assert!(matches(r#"{"a":{"b":["1"]}}"#, r#"{"a.b":"2","a":{"b":"1"}}"#));
    assert!(matches(r#"{"a":["x"],"b":["y"]}"#, r#"{"a":"z","b":"z","b":"y","a":"x"}"#));
}

#[test]
fn odd_records_are_refused_or_take_no_harm() {
    let filter = Filter::parse(&[r#"{"a":{"b":["x"]},"c":["y"]}"#], Extensions::default()).unwrap();
    for broken in ["", "[]", "7", "{", r#"{"a""#, r#"{"a":{"b":"x}}"#, r#"{"a":[1,}"#, r#"{"c":tru}"#, "{}x", "\u{0}"] {
        assert!(filter.matches(broken.as_bytes(), None).is_err(), "{broken}");
    }
    assert!(filter.matches(br#"{"a":{"b":"\xff"},"c":"y"}"#, None).is_err());
    assert!(!filter.matches(b"{\"a\":{\"b\":\"\xff\"},\"c\":\"y\",\"\xff\":1}", None).unwrap());
    let nested = |levels: usize| format!(r#"{{"c":{}"y"{}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert!(!filter.matches(nested(100).as_bytes(), None).unwrap());
    assert_eq!(filter.matches(nested(200).as_bytes(), None).unwrap_err().what, "nested too deeply");
    assert!(filter.matches(nested(1_000_000).as_bytes(), None).is_err());
    assert!(matches(r#"{"é\"":["\n"]}"#, "{\"\\u00e9\\\"\" : \"\\u000a\"}"));
    // A lone surrogate is present, and equals nothing.
    assert!(matches(r#"{"a":[{"anything-but":"x"}]}"#, r#"{"a":"\ud800"}"#));
    assert!(!matches(r#"{"a":[{"prefix":""}]}"#, r#"{"a":"\ud800","\ud800":1}"#));
}

#[test]
fn many_elements_are_no_trouble() {
    let elements = |a: &str, b: &str| vec![format!(r#"{{"a":"{a}"}},{{"b":"{b}"}}"#); 5_000].join(",");
    let record = format!(r#"{{"l":[{}],"m":[{}]}}"#, elements("1", "2"), elements("3", "4"));
    assert!(!matches(r#"{"l":{"a":["1"],"b":["2"]}}"#, &record));
    assert!(!matches(r#"{"l":{"a":["1"]},"m":{"a":["3"],"b":["4"]}}"#, &record));
    // A member that comes again and again is an array each time. No record of DynamoDB is like that; it is given up in time.
    let again = vec![format!(r#""l":[{}]"#, elements("1", "2")); 3].join(",");
    let pattern = r#"{"l":{"a":["1"],"b":["2"],"c":[{"exists":false}]}}"#;
    assert!(matches(pattern, &format!("{{{again}}}")));
    let filter = Filter::parse(&[pattern], Extensions::default()).unwrap();
    let given_up = filter.matches(format!(r#"{{{again},"l":{{"c":1}}}}"#).as_bytes(), None).unwrap_err();
    assert_eq!(given_up.what, "array elements combine in too many ways for the filter");
}
