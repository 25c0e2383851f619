//! Something that many ask for at a time and that is made once for all of them.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// How old a thing may be that is given again: a burst of requests costs the workers one question.
const FRESH: Duration = Duration::from_millis(200);

/// The last one that was made.
#[derive(Debug)]
pub(super) struct Shared<T> {
    last: Mutex<Option<(Instant, T)>>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { last: Mutex::new(None) }
    }
}

impl<T: Clone> Shared<T> {
    /// One that was begun after this call, or a moment before it.
    pub(super) async fn get(&self, make: impl Future<Output = T>) -> T {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((begun, thing)) = &*last
            && *begun + FRESH >= asked
        {
            return thing.clone();
        }
        let begun = Instant::now();
        let thing = make.await;
        *last = Some((begun, thing.clone()));
        thing
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn who_asks_at_the_same_time_gets_the_same() {
        let (shared, made) = (Shared::default(), Cell::new(0));
        let make = || async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            made.set(made.get() + 1);
            made.get()
        };
        let all = futures_util::future::join_all((0..100).map(|_| shared.get(make()))).await;
        assert_eq!((all, made.get()), (vec![1; 100], 1));
        tokio::time::sleep(FRESH * 2).await;
        assert_eq!(shared.get(make()).await, 2);
    }
}
