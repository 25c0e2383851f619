//! A node that the same happens to again.

use std::collections::VecDeque;

use super::input::{Fault, Input, Standing};
use crate::node::HaNode;
use crate::time::Now;
use crate::vrrp::{Actions, News, Transition};

/// Transitions that wait to be compared: of a takeover of thousands of routers.
const COMPARED_MAX: usize = 64 * 1024;

/// A replay under way.
#[derive(Clone, Debug)]
pub struct Replay {
    node: HaNode,
    now: Now,
    actions: Actions,
    /// What it did that the recording has not confirmed yet.
    did: VecDeque<Transition>,
}

/// What came of one input.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Step {
    /// What happened, in order.
    pub news: Vec<News>,
    /// The recorded transition that the replay has not made, with the one that it has made instead.
    pub divergence: Option<(Transition, Option<Transition>)>,
}

impl Replay {
    /// From a state on.
    ///
    /// # Errors
    /// Where the bytes are none.
    pub fn of_state(bytes: &[u8]) -> Result<Self, Fault> {
        let fault = |what: &str| Fault { offset: 0, what: format!("this is no state of a node: {what}") };
        let (standing, rest): (Standing<'_>, &[u8]) =
            postcard::take_from_bytes(bytes).map_err(|error| fault(&error.to_string()))?;
        if !rest.is_empty() {
            return Err(fault("there is more than one"));
        }
        let Standing { instant, wall, node } = standing;
        let now = Now { instant, wall };
        Ok(Self { node: node.into_owned(), now, actions: Actions::default(), did: VecDeque::new() })
    }

    /// The node as it is now.
    pub const fn node(&self) -> &HaNode {
        &self.node
    }

    /// The node's state, encoded.
    ///
    /// # Errors
    /// None is known.
    pub fn state(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_allocvec(&self.node)
    }

    /// Time of the last input, or of the state.
    pub const fn now(&self) -> Now {
        self.now
    }

    /// What it wants to send and what has not been confirmed as sent, and what it wants done since the last input.
    pub const fn actions(&self) -> &Actions {
        &self.actions
    }

    /// Makes the same call.
    pub fn take(&mut self, now: Now, input: Input<'_>) -> Step {
        // Everything but what is to be sent is as good as done.
        let transmit = core::mem::take(&mut self.actions.transmit);
        self.actions = Actions { transmit, ..Actions::default() };
        if !matches!(input, Input::Did(_)) {
            self.now = now;
        }
        let divergence = self.call(now, input);
        drop(self.node.take_retired());
        let news = core::mem::take(&mut self.actions.news);
        self.did.extend(News::transitions(&news).cloned());
        while self.did.len() > COMPARED_MAX {
            self.did.pop_front();
        }
        Step { news, divergence }
    }

    fn call(&mut self, now: Now, input: Input<'_>) -> Option<(Transition, Option<Transition>)> {
        let Self { node, actions, did, .. } = self;
        match input {
            Input::Datagram(heard) => {
                let verdicts = heard.verdicts();
                node.handle_datagram(now, &heard.datagram(&verdicts), actions);
            }
            Input::Timeout => node.handle_timeout(now, actions),
            Input::Sent(failed) => {
                let sent = core::mem::take(&mut actions.transmit);
                node.note_sent(now, &sent, &failed, actions);
            }
            Input::Event(event) => node.handle(now, event.into_owned(), actions),
            Input::Configuration(config) => {
                let plan = node.plan(config.into_owned());
                node.apply(now, plan, actions);
            }
            Input::SwitchOver(order) => _ = node.order_switch_over(now, &order, actions),
            Input::SwitchBack(whom) => _ = node.take_back(now, &whom, actions),
            Input::Maintain(span) => _ = node.maintain(now, span, actions),
            Input::Unannounced(link) => node.note_unannounced(now, link),
            Input::Reserved(reservation) => node.reserve_stamps(reservation),
            Input::CountersCleared => node.clear_counters(),
            Input::Left => _ = node.leave_to_next(now, actions),
            Input::Did(recorded) => {
                let replayed = did.pop_front();
                if replayed.as_ref() != Some(&*recorded) {
                    return Some((recorded.into_owned(), replayed));
                }
            }
        }
        None
    }
}
