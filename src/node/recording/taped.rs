//! A node that what happens to is written down.

use core::ops::Deref;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Tape;
use super::input::{Heard, Input, clean};
use crate::net::InterfaceIndex;
use crate::node::{Changes, Event, HaNode, Legacy, NodeConfig, Retired};
use crate::time::{Duration, Now};
use crate::vrrp::{
    Actions, Datagram, HandsOver, News, Reservation, SendObstacle, SwitchOver, Transmission, Verdicts, Whom,
};

/// A node, and the tape on which everything is noted that reaches it from its first event on; or none, at the price
/// of a look at that. Reading goes to the node itself.
#[derive(Debug)]
pub struct Taped {
    node: HaNode,
    tape: Option<Box<Tape>>,
}

impl Deref for Taped {
    type Target = HaNode;

    fn deref(&self) -> &HaNode {
        &self.node
    }
}

impl Taped {
    /// Without a tape.
    pub const fn new(node: HaNode) -> Self {
        Self { node, tape: None }
    }

    /// Puts a tape in, and gives the one before.
    pub fn record(&mut self, tape: Option<Box<Tape>>) -> Option<Box<Tape>> {
        let mut before = core::mem::replace(&mut self.tape, tape);
        before.iter_mut().for_each(|before| before.finish());
        before
    }

    /// Whether there is one.
    pub const fn is_recording(&self) -> bool {
        self.tape.is_some()
    }

    /// Notes what is about to reach the node. Gives where its news begin, for [`Taped::end`].
    fn begin(&mut self, now: Now, input: &Input<'_>, actions: &Actions) -> usize {
        if let Some(tape) = &mut self.tape {
            // Nothing is to be sent then that the state does not know of.
            let whole = actions.transmit.is_empty() && !matches!(input, Input::Sent(_));
            tape.prepare(now, &self.node, whole);
            tape.note(now, input);
        }
        actions.news.len()
    }

    /// Notes the transitions that have come of it, so that a replay can tell whether it makes the same.
    fn end(&mut self, now: Now, actions: &Actions, before: usize) {
        let Some(tape) = &mut self.tape else { return };
        for transition in News::transitions(actions.news.get(before..).unwrap_or_default()) {
            tape.note(now, &Input::Did(Cow::Borrowed(transition)));
        }
    }

    /// [`HaNode::handle_datagram`].
    pub fn handle_datagram(&mut self, now: Now, datagram: &Datagram<'_>, actions: &mut Actions) {
        let Some(tape) = &mut self.tape else { return self.node.handle_datagram(now, datagram, actions) };
        tape.prepare(now, &self.node, actions.transmit.is_empty());
        let (verdicts, before) = (Verdicts::default(), actions.news.len());
        let noting = Datagram { verdicts: Some(&verdicts), ..*datagram };
        self.node.handle_datagram(now, &noting, actions);
        let payload = clean(datagram);
        tape.note(now, &Input::Datagram(Heard::new(datagram, &payload, &verdicts)));
        self.end(now, actions, before);
    }

    /// [`HaNode::handle`].
    pub fn handle(&mut self, now: Now, event: Event, actions: &mut Actions) {
        let before = self.begin(now, &Input::Event(Cow::Borrowed(&event)), actions);
        self.node.handle(now, event, actions);
        self.end(now, actions, before);
    }

    /// [`HaNode::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Now, actions: &mut Actions) {
        let before = self.begin(now, &Input::Timeout, actions);
        self.node.handle_timeout(now, actions);
        self.end(now, actions, before);
    }

    /// [`HaNode::note_sent`].
    pub fn note_sent(
        &mut self,
        now: Now,
        transmissions: &[Transmission],
        failed: &BTreeMap<usize, SendObstacle>,
        actions: &mut Actions,
    ) {
        let before = self.begin(now, &Input::Sent(Cow::Borrowed(failed)), actions);
        self.node.note_sent(now, transmissions, failed, actions);
        self.end(now, actions, before);
    }

    /// [`HaNode::note_unannounced`].
    pub fn note_unannounced(&mut self, now: Now, link: InterfaceIndex) {
        if let Some(tape) = &mut self.tape {
            tape.note(now, &Input::Unannounced(link));
        }
        self.node.note_unannounced(now, link);
    }

    /// [`HaNode::plan`] and [`HaNode::apply`]; gives what has changed.
    pub(crate) fn reconfigure(&mut self, now: Now, config: NodeConfig, actions: &mut Actions) -> Changes {
        let before = self.begin(now, &Input::Configuration(Cow::Borrowed(&config)), actions);
        let mut plan = self.node.plan(config);
        let changes = plan.take_changes();
        self.node.apply(now, plan, actions);
        self.end(now, actions, before);
        changes
    }

    /// [`HaNode::order_switch_over`].
    pub fn order_switch_over(
        &mut self,
        now: Now,
        order: &SwitchOver,
        actions: &mut Actions,
    ) -> Vec<(Arc<str>, HandsOver)> {
        let before = self.begin(now, &Input::SwitchOver(Cow::Borrowed(order)), actions);
        let answers = self.node.order_switch_over(now, order, actions);
        self.end(now, actions, before);
        answers
    }

    /// [`HaNode::take_back`].
    pub fn take_back(&mut self, now: Now, whom: &Whom, actions: &mut Actions) -> Vec<(Arc<str>, bool)> {
        let before = self.begin(now, &Input::SwitchBack(Cow::Borrowed(whom)), actions);
        let answers = self.node.take_back(now, whom, actions);
        self.end(now, actions, before);
        answers
    }

    /// [`HaNode::maintain`].
    pub fn maintain(
        &mut self,
        now: Now,
        span: Option<Duration>,
        actions: &mut Actions,
    ) -> Vec<(Arc<str>, HandsOver)> {
        let before = self.begin(now, &Input::Maintain(span), actions);
        let answers = self.node.maintain(now, span, actions);
        self.end(now, actions, before);
        answers
    }

    /// [`HaNode::leave_to_next`].
    pub fn leave_to_next(&mut self, now: Now, actions: &mut Actions) -> Legacy {
        let before = self.begin(now, &Input::Left, actions);
        let legacy = self.node.leave_to_next(now, actions);
        self.end(now, actions, before);
        legacy
    }

    /// [`HaNode::take_up`], before the first event.
    pub fn take_up(&mut self, legacy: Legacy) {
        self.node.take_up(legacy);
    }

    /// [`HaNode::reserve_stamps`].
    pub fn reserve_stamps(&mut self, now: Now, reservation: Reservation, actions: &mut Actions) {
        let before = self.begin(now, &Input::Reserved(reservation), actions);
        self.node.reserve_stamps(reservation);
        self.end(now, actions, before);
    }

    /// [`HaNode::clear_counters`].
    pub fn clear_counters(&mut self, now: Now, actions: &mut Actions) {
        let before = self.begin(now, &Input::CountersCleared, actions);
        self.node.clear_counters();
        self.end(now, actions, before);
    }

    /// [`HaNode::take_retired`].
    pub(crate) fn take_retired(&mut self) -> Option<Retired> {
        self.node.take_retired()
    }
}
