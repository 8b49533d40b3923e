//! Does the reader deliver every record once, whatever the service answers? Against scripted answers.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;

use crate::change::{Channel, Position, SequenceNumber};
use crate::clock::Clock;

use super::reader::{Page, Read, ReadError, ShardReader};
use super::*;

/// What the service answers to the next call.
enum Answer {
    Iterator(Result<(), StreamError>),
    /// The numbers of the records, and whether there is a next iterator.
    Page(Result<(Vec<u64>, bool), StreamError>),
    /// A shard list: whether it says that the shard is closed.
    List(bool),
}

struct Script {
    identity: StreamIdentity,
    aggregates: bool,
    answers: Mutex<VecDeque<Answer>>,
    /// Where iterators were asked for.
    asked: Mutex<Vec<ReadFrom>>,
}

impl Script {
    fn next(&self, call: &str) -> Answer {
        self.answers.lock().unwrap().pop_front().unwrap_or_else(|| panic!("{call} comes unexpected"))
    }
}

impl StreamApi for Script {
    fn identity(&self) -> &StreamIdentity {
        &self.identity
    }

    fn list_shards<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, Result<ShardPage, StreamError>> {
        let Answer::List(closed) = self.next("ListShards") else { panic!("ListShards comes unexpected") };
        let shards = vec![ShardInfo { id: ShardId::new("s"), parents: Vec::new(), closed }];
        Box::pin(async { Ok(ShardPage { shards, next: None, enabled: true }) })
    }

    fn shard_iterator<'a>(
        &'a self,
        _: &'a ShardId,
        from: ReadFrom,
    ) -> BoxFuture<'a, Result<ShardIterator, StreamError>> {
        self.asked.lock().unwrap().push(from);
        let Answer::Iterator(answer) = self.next("GetShardIterator") else { panic!("an iterator comes unexpected") };
        Box::pin(async { answer.map(|()| ShardIterator("i".into())) })
    }

    fn get_records<'a>(
        &'a self,
        _: &'a ShardId,
        _: &'a ShardIterator,
    ) -> BoxFuture<'a, Result<RecordsPage, StreamError>> {
        let Answer::Page(answer) = self.next("GetRecords") else { panic!("GetRecords comes unexpected") };
        let record = |number: u64| Record {
            position: Position::new(SequenceNumber::from_ordinal(number)),
            channel: Channel::Streams,
            table: None,
            payload: Bytes::new(),
        };
        let page = move |(numbers, more): (Vec<u64>, bool)| RecordsPage {
            records: numbers.into_iter().map(record).collect(),
            next: more.then(|| ShardIterator("i".into())),
            names_children: false,
            millis_behind: None,
            bytes: 0,
        };
        Box::pin(async move { answer.map(page) })
    }

    fn pace(&self) -> Pace {
        Pace { aggregates: self.aggregates, ..STREAMS_PACE }
    }
}

fn iterator() -> Answer {
    Answer::Iterator(Ok(()))
}

fn page(numbers: &[u64]) -> Answer {
    Answer::Page(Ok((numbers.to_vec(), true)))
}

fn last_page(numbers: &[u64]) -> Answer {
    Answer::Page(Ok((numbers.to_vec(), false)))
}

fn fault(error: StreamError) -> Answer {
    Answer::Page(Err(error))
}

fn after(number: u64) -> ReadFrom {
    ReadFrom::After(SequenceNumber::from_ordinal(number))
}

/// What reading on brought, as far as a test looks: the numbers, "end", or why not.
async fn next(reader: &mut ShardReader) -> Result<Vec<u64>, String> {
    let number = |record: &Record| record.position.sequence.as_str().parse().unwrap();
    match reader.next().await {
        Ok(Read::Page(Page { records, .. })) => Ok(records.iter().map(number).collect()),
        Ok(Read::End) => Err("end".to_owned()),
        Err(ReadError::Gap(what)) => Err(format!("gap: {what}")),
        Err(error) => Err(error.to_string()),
    }
}

fn reading(answers: Vec<Answer>, last: Option<u64>, aggregates: bool) -> (Arc<Script>, ShardReader) {
    let identity = StreamIdentity { id: "stream".to_owned(), table: None, origin: None };
    let answers = Mutex::new(answers.into());
    let script = Arc::new(Script { identity, aggregates, answers, asked: Mutex::default() });
    let last = last.map(|number| Position::new(SequenceNumber::from_ordinal(number)));
    let clock = Clock::simulated(1, 1_795_132_800_000_000);
    (script.clone(), ShardReader::new(script, clock, ShardId::new("s"), ReadFrom::TrimHorizon, last))
}

fn asked(script: &Script) -> Vec<ReadFrom> {
    assert!(script.answers.lock().unwrap().is_empty(), "answers are left over");
    script.asked.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn a_dead_iterator_is_replaced_behind_the_last_record() {
    let answers = vec![iterator(), page(&[1, 2]), fault(StreamError::Expired), iterator(), fault(StreamError::Expired)];
    let (script, mut reader) =
        reading([answers, vec![iterator(), page(&[3])]].into_iter().flatten().collect(), None, false);
    assert_eq!(next(&mut reader).await, Ok(vec![1, 2]));
    assert_eq!(next(&mut reader).await, Ok(vec![3]));
    assert_eq!((asked(&script), reader.expired), (vec![ReadFrom::TrimHorizon, after(2), after(2)], 2));
}

#[tokio::test(start_paused = true)]
async fn faults_that_pass_keep_the_iterator() {
    let faults = [
        fault(StreamError::Throttled("slow".into())),
        fault(StreamError::Transient("500".into())),
        fault(StreamError::Throttled("slow".into())),
    ];
    let answers = [iterator()].into_iter().chain(faults).chain([page(&[]), page(&[1])]);
    let (script, mut reader) = reading(answers.collect(), None, false);
    assert_eq!(next(&mut reader).await, Ok(vec![]));
    assert_eq!(next(&mut reader).await, Ok(vec![1]));
    assert_eq!((asked(&script).len(), reader.throttled), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_shard_ends_when_a_fresh_iterator_and_the_list_say_so_too() {
    // First a garbled end in the middle, then a list that does not know of the end yet.
    let answers = vec![
        iterator(),
        page(&[1]),
        last_page(&[]),
        iterator(),
        page(&[2]),
        last_page(&[3]),
        iterator(),
        last_page(&[]),
        iterator(),
        last_page(&[]),
        Answer::List(false),
        iterator(),
        last_page(&[]),
        Answer::List(true),
    ];
    let (script, mut reader) = reading(answers, None, false);
    for number in 1..=3 {
        assert_eq!(next(&mut reader).await, Ok(vec![number]));
    }
    assert_eq!(next(&mut reader).await, Err("end".into()));
    assert_eq!(asked(&script), [ReadFrom::TrimHorizon, after(1), after(3), after(3), after(3)]);
}

#[tokio::test(start_paused = true)]
async fn trimmed_behind_a_delivered_record_is_a_gap_at_once() {
    let (script, mut reader) = reading(vec![Answer::Iterator(Err(StreamError::Trimmed))], Some(7), false);
    assert!(next(&mut reader).await.unwrap_err().starts_with("gap: records of shard s behind 7"));
    assert_eq!(asked(&script), [after(7)]);
    let (script, mut reader) = reading(vec![iterator(), fault(StreamError::Trimmed)], Some(7), false);
    assert!(next(&mut reader).await.unwrap_err().starts_with("gap: "));
    // Told to go on, it does with the oldest there is. Until that holds still, it is the same gap.
    let again = || [iterator(), fault(StreamError::Trimmed)];
    script.answers.lock().unwrap().extend((0..9).flat_map(|_| again()));
    script.answers.lock().unwrap().extend([iterator(), page(&[9]), page(&[10])]);
    reader.skip_gap();
    assert_eq!(next(&mut reader).await, Ok(vec![9]));
    assert_eq!(next(&mut reader).await, Ok(vec![10]));
    assert_eq!(asked(&script), [vec![after(7)], vec![ReadFrom::TrimHorizon; 10]].concat());
}

#[tokio::test(start_paused = true)]
async fn the_oldest_record_may_be_trimmed_while_it_is_asked_for() {
    let again = || [iterator(), fault(StreamError::Trimmed)];
    let answers = [again(), again()].into_iter().flatten().chain([iterator(), page(&[5])]);
    let (script, mut reader) = reading(answers.collect(), None, false);
    assert_eq!(next(&mut reader).await, Ok(vec![5]));
    assert_eq!(asked(&script), [ReadFrom::TrimHorizon; 3]);
    // A service that insists means it.
    let (script, mut reader) = reading((0..6).flat_map(|_| again()).collect(), None, false);
    assert_eq!(next(&mut reader).await, Err("gap: records of shard s at its beginning have been trimmed".into()));
    assert_eq!(asked(&script), [ReadFrom::TrimHorizon; 6]);
}

#[tokio::test(start_paused = true)]
async fn where_records_are_aggregates_the_last_one_has_to_come_again() {
    let at = |number| ReadFrom::At(SequenceNumber::from_ordinal(number));
    let (script, mut reader) = reading(vec![iterator(), page(&[7, 8]), page(&[9])], Some(7), true);
    assert_eq!(next(&mut reader).await, Ok(vec![8]));
    assert_eq!(next(&mut reader).await, Ok(vec![9]));
    assert_eq!(asked(&script), [at(7)]);
    // Kinesis moves an iterator whose record is gone silently to the oldest.
    let (_, mut reader) = reading(vec![iterator(), page(&[12])], Some(7), true);
    assert!(next(&mut reader).await.unwrap_err().starts_with("gap: the record behind 7 is no longer in shard s"));
}

#[tokio::test(start_paused = true)]
async fn a_shard_whose_last_record_does_not_come_again_at_its_end_has_a_gap() {
    let mut answers = vec![iterator(), last_page(&[])];
    // It is asked more than once, and once more behind the gap.
    answers.extend((0..4).flat_map(|_| [iterator(), last_page(&[]), Answer::List(true)]));
    let (_, mut reader) = reading(answers, Some(5), true);
    let gap = next(&mut reader).await.unwrap_err();
    assert!(gap.starts_with("gap: ") && gap.contains("nothing of it is left"), "{gap}");
    reader.skip_gap();
    assert_eq!(next(&mut reader).await, Err("end".into()));
    // A reader that has looked behind it a moment ago knows that nothing came.
    let answers = vec![iterator(), page(&[5]), last_page(&[]), iterator(), last_page(&[]), Answer::List(true)];
    let (_, mut reader) = reading(answers, Some(5), true);
    assert_eq!(next(&mut reader).await, Ok(vec![]));
    assert_eq!(next(&mut reader).await, Err("end".into()));
}

#[tokio::test(start_paused = true)]
async fn ends_that_come_early_twice_are_no_gap() {
    let answers = vec![
        iterator(),
        last_page(&[]),
        iterator(),
        last_page(&[]),
        Answer::List(true),
        iterator(),
        last_page(&[5, 6]),
        iterator(),
        last_page(&[]),
        iterator(),
        last_page(&[]),
        Answer::List(true),
    ];
    let (script, mut reader) = reading(answers, Some(5), true);
    assert_eq!(next(&mut reader).await, Ok(vec![6]));
    assert_eq!(next(&mut reader).await, Err("end".into()));
    let at = |number| ReadFrom::At(SequenceNumber::from_ordinal(number));
    assert_eq!(asked(&script), [at(5), at(5), at(5), at(6), at(6)]);
}
