//! The mechanism with a kind of its own, apart from addresses and routers.

use std::collections::BTreeMap;

use super::*;
use crate::kernel::Verb::{Add, Remove};
use crate::time::{Duration, Instant};

/// Numbers with a colour. With a number, the kernel removes all others of its ten; from 100 on each goes alone.
#[derive(Clone, Copy, Debug)]
enum Numbers {}

type Wish = (u8, &'static str);

impl Kind for Numbers {
    type Key = u8;
    type Wish = Wish;
    type Kin = u8;

    fn kin(key: u8) -> Option<u8> {
        (key < 100).then_some(key / 10)
    }
}

fn wish(number: u8) -> (Wish, bool) {
    ((number, "red"), true)
}

/// A set and the kernel that it speaks to.
struct Desk {
    set: WantedSet<Numbers>,
    /// What the kernel holds, and whether with our mark.
    kernel: BTreeMap<u8, bool>,
    /// Numbers that cannot exist now.
    closed: Vec<u8>,
    /// Whether the kernel tells of changes.
    tells: bool,
    asked: Vec<Change<Numbers>>,
    now: Instant,
}

impl Desk {
    fn new(numbers: &[u8], held: &[(u8, bool)]) -> Self {
        let mut desk = Self {
            set: WantedSet::new(numbers.iter().map(|number| wish(*number))),
            kernel: held.iter().copied().collect(),
            closed: Vec::new(),
            tells: true,
            asked: Vec::new(),
            now: Instant::ZERO + Duration::from_secs(1_000),
        };
        desk.locate();
        desk
    }

    fn locate(&mut self) {
        let locate = |wish: &Wish| (!self.closed.contains(&wish.0)).then_some(wish.0);
        self.set.locate(&locate, &|key| self.kernel.get(&key).copied(), &mut self.asked);
    }

    fn reconfigure(&mut self, wishes: &[(Wish, bool)]) {
        let known = |key| self.kernel.get(&key).copied();
        self.set.reconfigure(wishes.iter().copied(), &|wish| Some(wish.0), &known, &mut self.asked);
    }

    /// Somebody removes an object, and the kernel its kin.
    fn remove(&mut self, number: u8) {
        if self.kernel.remove(&number).is_none() {
            return;
        }
        let goes = |other: u8| Numbers::kin(number).is_some_and(|kin| Numbers::kin(other) == Some(kin));
        let kin: Vec<u8> = self.kernel.keys().copied().filter(|other| goes(*other)).collect();
        for gone in core::iter::once(number).chain(kin) {
            self.kernel.remove(&gone);
            if self.tells {
                self.set.on_gone(self.now, gone);
            }
        }
    }

    /// The kernel does what it was asked for, and answers.
    fn obey(&mut self) -> Vec<(Verb, u8)> {
        let asked = core::mem::take(&mut self.asked);
        for change in &asked {
            match change.verb {
                Add if !self.kernel.contains_key(&change.key) => {
                    self.kernel.insert(change.key, true);
                    if self.tells {
                        self.set.on_present(self.now, change.key, true);
                    }
                }
                Add => {}
                Remove => self.remove(change.key),
            }
        }
        for change in &asked {
            self.set.on_answer(self.now, change.verb, change.key, false);
        }
        self.set.request_again(asked.iter().map(|change| change.key), &mut self.asked);
        asked.iter().map(|change| (change.verb, change.key)).collect()
    }

    /// Lets time pass; gives what was put back and when, in ms.
    fn pass(&mut self, ms: u64) -> Vec<(u8, u64)> {
        let (begin, mut repaired) = (self.now, Vec::new());
        let end = begin + Duration::from_millis(ms);
        while let Some(at) = self.set.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            let repairs = self.set.judge(at, &mut self.asked);
            let after = at.saturating_since(begin).as_millis() as u64;
            repaired.extend(repairs.into_iter().map(|repair| (repair.key, after)));
            self.obey();
        }
        self.now = end;
        repaired
    }

    fn want(&mut self) -> (Vec<u8>, usize) {
        self.set.want(&mut self.asked)
    }
}

#[test]
fn the_difference_is_asked_for_and_only_ours_is_given_up() {
    let mut desk = Desk::new(&[101, 102, 103], &[(102, true), (103, false)]);
    assert!(desk.set.has_leftovers());
    assert_eq!(desk.want(), (vec![102, 103], 1));
    assert_eq!(desk.set.take_foreign(), [103]);
    assert!(desk.set.take_foreign().is_empty());
    assert_eq!(desk.obey(), [(Add, 101)]);
    assert!(desk.set.is_settled());
    assert_eq!(desk.set.release(&mut desk.asked), 0);
    assert_eq!(desk.obey(), [(Remove, 102), (Remove, 101)]);
    assert_eq!(desk.kernel, BTreeMap::from([(103, false)]));
}

#[test]
fn leftovers_wait_for_a_decision() {
    let mut desk = Desk::new(&[101], &[]);
    desk.kernel.insert(101, true);
    desk.set.on_present(desk.now, 101, true);
    assert_eq!(desk.pass(1_000), []);
    assert!(desk.kernel.contains_key(&101));
    desk.set.decide();
    desk.set.on_present(desk.now, 101, true);
    desk.pass(1_000);
    assert!(desk.kernel.is_empty());
}

#[test]
fn who_leaves_everything_as_it_is_removes_nothing_later() {
    let mut desk = Desk::new(&[101], &[]);
    desk.want();
    desk.obey();
    desk.remove(101);
    // Back before it is looked at.
    desk.kernel.insert(101, true);
    desk.set.on_present(desk.now, 101, true);
    desk.set.abandon();
    desk.pass(1_000);
    assert!(desk.kernel.contains_key(&101));
}

#[test]
fn what_somebody_removes_is_back_soon_and_after_pauses_of_a_second_at_most() {
    let mut desk = Desk::new(&[101], &[]);
    desk.want();
    desk.obey();
    let mut pauses = Vec::new();
    for _ in 0..5 {
        desk.remove(101);
        pauses.extend(desk.pass(1_000));
    }
    assert_eq!(pauses, [(101, 10), (101, 250), (101, 500), (101, 1_000), (101, 1_000)]);
    // Nobody touches it for long.
    desk.pass(121_000);
    desk.remove(101);
    assert_eq!(desk.pass(1_000), [(101, 10)]);
}

#[test]
fn nothing_is_judged_while_a_change_is_under_way() {
    let mut desk = Desk::new(&[101], &[]);
    desk.want();
    desk.obey();
    desk.set.release(&mut desk.asked);
    desk.want();
    // Our own removal, answered late.
    desk.set.on_gone(desk.now, 101);
    assert_eq!(desk.set.poll_timeout(), None);
    assert_eq!(desk.obey(), [(Remove, 101)]);
    assert_eq!(desk.obey(), [(Add, 101)]);
    assert_eq!(desk.pass(1_000), []);
}

#[test]
fn what_is_never_told_is_found_by_comparing() {
    let mut desk = Desk::new(&[101, 102], &[]);
    desk.tells = false;
    desk.want();
    desk.obey();
    desk.remove(101);
    assert_eq!(desk.pass(1_000), []);
    let kernel = desk.kernel.clone();
    desk.set.resynchronise(desk.now, &|key| kernel.get(&key).copied());
    assert_eq!(desk.pass(1_000), [(101, 10)]);
    assert_eq!(desk.kernel.len(), 2);
}

#[test]
fn what_loses_its_place_is_forgotten_and_asked_for_at_the_next_one() {
    let mut desk = Desk::new(&[101, 102], &[]);
    desk.want();
    desk.obey();
    // Without a word from the kernel.
    desk.kernel.remove(&101);
    desk.closed.push(101);
    desk.locate();
    assert_eq!(desk.obey(), [(Remove, 101)]);
    assert_eq!(desk.pass(5_000), []);
    assert_eq!(desk.set.take_lacking(desk.now, Duration::from_secs(3)), None);
    desk.closed.clear();
    desk.locate();
    assert_eq!(desk.obey(), [(Add, 101)]);
    assert!(desk.set.is_settled());
}

#[test]
fn what_goes_along_is_put_back_in_the_same_batch() {
    let mut desk = Desk::new(&[11, 12, 21, 13], &[]);
    desk.want();
    desk.obey();
    desk.reconfigure(&[wish(12), wish(21), wish(13), wish(14)]);
    assert_eq!(desk.obey(), [(Remove, 11), (Add, 12), (Add, 13), (Add, 14)]);
    assert_eq!(desk.kernel.into_keys().collect::<Vec<_>>(), [12, 13, 14, 21]);
}

#[test]
fn what_goes_along_with_other_requesters_objects_is_known() {
    let mut collateral: Collateral<Numbers, char> = Collateral::new();
    collateral.note('a', Remove, 11, false);
    collateral.note('b', Remove, 21, true);
    collateral.note('b', Remove, 101, false);
    collateral.note('c', Remove, 102, false);
    collateral.note('c', Add, 102, false);
    let taken = |requester| {
        let all = [11, 12, 21, 22, 101, 102, 103].into_iter();
        all.filter(|key| collateral.takes(requester, *key)).collect::<Vec<u8>>()
    };
    assert_eq!(taken('a'), [21, 101]);
    assert_eq!(taken('b'), [11, 12]);
    assert_eq!(taken('c'), [11, 12, 21, 101]);
    assert_eq!(collateral.endangered().collect::<Vec<_>>(), [&1]);
}

#[test]
fn another_wish_for_the_same_object_replaces_it() {
    let mut desk = Desk::new(&[101], &[]);
    desk.want();
    desk.obey();
    desk.reconfigure(&[((101, "blue"), true)]);
    assert_eq!(desk.obey(), [(Remove, 101), (Add, 101)]);
    assert!(desk.set.is_settled());
}

#[test]
fn whether_a_loss_counts_is_what_was_said_last() {
    let limit = Duration::from_secs(3);
    let missing_for_long = |desk: &mut Desk| {
        for _ in 0..8 {
            desk.remove(101);
            desk.pass(1_000);
        }
        desk.remove(101);
        desk.set.take_lacking(desk.now, limit)
    };
    let mut desk = Desk::new(&[101], &[]);
    desk.want();
    desk.obey();
    assert_eq!(missing_for_long(&mut desk), Some(101));
    desk.reconfigure(&[((101, "red"), false)]);
    assert_eq!(missing_for_long(&mut desk), None);
    desk.reconfigure(&[((101, "red"), true)]);
    assert_eq!(missing_for_long(&mut desk), Some(101));
}

#[test]
fn what_the_kernel_refuses_is_tried_again_after_ever_longer_pauses() {
    let mut desk = Desk::new(&[101], &[]);
    desk.want();
    let mut tries = Vec::new();
    let begin = desk.now;
    for _ in 0..9 {
        for change in core::mem::take(&mut desk.asked) {
            assert_eq!(desk.set.on_answer(desk.now, change.verb, change.key, true), Answer::Refused);
        }
        desk.now = desk.set.poll_timeout().unwrap();
        tries.push(desk.now.saturating_since(begin).as_secs());
        assert!(desk.set.judge(desk.now, &mut desk.asked).is_empty());
    }
    assert_eq!(tries, [1, 3, 7, 15, 31, 63, 123, 183, 243]);
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "only debug builds look")]
#[should_panic(expected = "more answers than changes")]
fn an_answer_too_many_is_noticed() {
    let mut desk = Desk::new(&[101], &[]);
    desk.want();
    desk.obey();
    desk.set.on_answer(desk.now, Add, 101, false);
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "only debug builds look")]
#[should_panic(expected = "nothing that was asked for")]
fn an_answer_for_an_unknown_object_is_noticed() {
    let mut desk = Desk::new(&[101], &[]);
    desk.set.on_answer(desk.now, Add, 99, false);
}
