//! Whether a store refuses to overwrite, found out before anything depends on it.
//!
//! Old or incomplete S3 look-alikes ignore `If-None-Match` and overwrite. On those two writers would both believe that
//! a range is theirs, so the lake refuses to start.

use bytes::Bytes;

use super::{ObjectStore, StoreError};
use crate::clock::Clock;
use crate::lake::settle::Patience;

/// Always the same name, since nothing is ever deleted.
const PATH: &str = "_watershed/probe";

const BODY: &[u8] = b"watershed creates this object twice: a store that lets it cannot hold a lake\n";

/// Proves that `store` honours exclusive create, and that it lets us read. (That it lets us write, too, in S3; in a
/// folder only the first time.) Waits out troubles like [`crate::lake::settle::settle`].
///
/// This proves it for small objects, which is where it matters: the ranges. A large one is a data file, and two writers
/// of the same name have the same content. (moto 5.2 lets several racing completions through.)
///
/// Any "it exists" is the proof: the store looked before it wrote. So where a lake has been opened before, one create
/// is enough.
pub async fn probe(store: &dyn ObjectStore, clock: &Clock) -> Result<(), StoreError> {
    let mut waiting = Patience::default().waiting(clock, PATH);
    let mut created = false;
    loop {
        match store.create(PATH, Bytes::from_static(BODY)).await {
            Ok(()) if created => return Err(overwrites(store)),
            Ok(()) => created = true,
            Err(StoreError::Exists(_)) => break,
            Err(unsettled @ StoreError::Unsettled(_)) => waiting.after(unsettled).await?,
            Err(fatal @ (StoreError::Fatal(_) | StoreError::Gone(_))) => return Err(fatal),
        }
    }
    match Patience::default().read(store, clock, PATH).await? {
        Some(_) => Ok(()),
        None => Err(StoreError::Fatal(format!(
            "{} says that {PATH} exists, but does not show it: is this the same store for reads and writes?",
            store.describe()
        ))),
    }
}

fn overwrites(store: &dyn ObjectStore) -> StoreError {
    StoreError::Fatal(format!(
        "{}: this store overwrites objects; S3 conditional writes (If-None-Match) are needed, without them two writers \
         could destroy each other's data. Use Amazon S3, a compatible store that has them, or a folder",
        store.describe()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::BoxFuture;
    use crate::lake::store::Listed;
    use crate::testing::store::{Fault, Faults, FaultyStore, MemoryStore};

    #[tokio::test(start_paused = true)]
    async fn a_store_that_refuses_passes_now_and_later_whatever_goes_wrong() {
        let clock = Clock::simulated(1, 0);
        for first in [Fault::None, Fault::AnswerLost, Fault::Conflict, Fault::ExistsAfterSuccess] {
            for second in [Fault::None, Fault::Unavailable, Fault::AnswerLost, Fault::Late] {
                let memory = MemoryStore::new();
                let store = FaultyStore::new(Arc::new(memory.clone()), &clock, 1, Faults::default());
                store.script([first, second]);
                probe(&store, &clock).await.unwrap();
                probe(&memory, &clock).await.unwrap();
                assert_eq!(Vec::from_iter(memory.objects().into_keys()), [PATH]);
            }
        }
    }

    /// A store that ignores `If-None-Match`.
    struct Overwriting;

    impl ObjectStore for Overwriting {
        fn create<'a>(&'a self, _: &'a str, _: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
            Box::pin(async { Ok(()) })
        }
        fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
            Box::pin(async { Ok(None) })
        }
        fn size<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
            Box::pin(async { Ok(None) })
        }
        fn list<'a>(&'a self, _: &'a str, _: Option<&'a str>) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
            Box::pin(async { Ok(Vec::new()) })
        }
        fn describe(&self) -> String {
            "s3://careless".to_owned()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_overwrites_is_refused() {
        let clock = Clock::simulated(1, 0);
        let error = probe(&Overwriting, &clock).await.unwrap_err();
        assert!(matches!(&error, StoreError::Fatal(text) if text.contains("s3://careless: this store overwrites")));
    }
}
