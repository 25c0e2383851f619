//! A worker goes on for another one that had told others already: what they know they are not told again. Its routers
//! begin as all do, by way of backup; of that nobody hears either who knows better.

use std::collections::BTreeMap;

use super::event::Object;
use crate::time::WallTime;
use crate::vrrp::{News, State};

/// What others were told last of each object.
pub(crate) type Resumed = BTreeMap<Object, State>;

/// What is known, until it is confirmed or not true any more.
#[derive(Debug, Default)]
pub(crate) struct Resumption {
    known: Resumed,
    /// Others know a master, which is a backup now and may be master in a moment.
    held: Vec<(Object, WallTime, News)>,
}

/// What becomes of news.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Others know it: it is noted, and nobody is told.
    Known,
    /// It waits for what follows.
    Waits,
    /// Others are told of these, in this order.
    Told(Vec<(WallTime, News)>),
}

impl Resumption {
    /// Others know this.
    pub(crate) const fn new(known: Resumed) -> Self {
        Self { known, held: Vec::new() }
    }

    /// Something happened.
    pub(crate) fn judge(&mut self, at: WallTime, news: &News) -> Verdict {
        let told = |news: &News| Verdict::Told(vec![(at, news.clone())]);
        if self.known.is_empty() {
            return told(news);
        }
        let (object, from, to) = match news {
            News::Transition(of) => (Object::Instance(of.name.clone()), of.from, of.to),
            News::GroupTransition(of) => (Object::Group(of.name.clone()), of.from, of.to),
            News::LowerPriorityReceived { .. } | News::Report(_) => return told(news),
        };
        let Some(known) = self.known.get(&object).copied() else { return told(news) };
        if to == known {
            self.known.remove(&object);
            self.held.retain(|(held, ..)| *held != object);
            return Verdict::Known;
        }
        if from == State::Initialize && to == State::Backup && known == State::Master {
            self.held.push((object, at, news.clone()));
            return Verdict::Waits;
        }
        self.known.remove(&object);
        let before = self.held.extract_if(.., |(held, ..)| *held == object).map(|(_, at, news)| (at, news));
        Verdict::Told(before.chain([(at, news.clone())]).collect())
    }

    /// Who was to be master again is by now: gives what is not true any more, of which others are told.
    pub(crate) fn end(&mut self) -> Vec<(WallTime, News)> {
        self.known.clear();
        core::mem::take(&mut self.held).into_iter().map(|(_, at, news)| (at, news)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::RouterId;
    use crate::vrrp::{Cause, Transition};
    use crate::wire::vrrp::Priority;

    fn news(name: &str, from: State, to: State) -> News {
        News::Transition(Transition {
            router: RouterId(0),
            name: name.into(),
            from,
            to,
            cause: Cause::Startup,
            priority: Priority(100),
        })
    }

    fn resumption() -> Resumption {
        let object = |name: &str| Object::Instance(name.into());
        Resumption::new([(object("a"), State::Master), (object("b"), State::Backup)].into())
    }

    const AT: WallTime = WallTime::from_unix_micros(7);

    #[test]
    fn nobody_hears_again_what_is_known() {
        let mut resumption = resumption();
        let mut judge = |name, from, to| resumption.judge(AT, &news(name, from, to));
        assert_eq!(judge("a", State::Initialize, State::Backup), Verdict::Waits);
        assert_eq!(judge("b", State::Initialize, State::Backup), Verdict::Known);
        assert_eq!(judge("a", State::Backup, State::Master), Verdict::Known);
        let later = news("a", State::Master, State::Backup);
        assert_eq!(resumption.judge(AT, &later), Verdict::Told(vec![(AT, later.clone())]));
        assert_eq!(resumption.end(), []);
    }

    #[test]
    fn what_is_another_thing_now_is_told_from_its_beginning() {
        let mut resumption = resumption();
        let first = news("a", State::Initialize, State::Backup);
        let second = news("a", State::Backup, State::Fault);
        assert_eq!(resumption.judge(AT, &first), Verdict::Waits);
        assert_eq!(resumption.judge(AT, &second), Verdict::Told(vec![(AT, first.clone()), (AT, second)]));
        let other = news("b", State::Initialize, State::Fault);
        assert_eq!(resumption.judge(AT, &other), Verdict::Told(vec![(AT, other.clone())]));
        let unknown = news("c", State::Initialize, State::Backup);
        assert_eq!(resumption.judge(AT, &unknown), Verdict::Told(vec![(AT, unknown.clone())]));
        let mut resumption = self::resumption();
        assert_eq!(resumption.judge(AT, &first), Verdict::Waits);
        assert_eq!(resumption.end(), [(AT, first.clone())], "it is no master any more");
    }
}
