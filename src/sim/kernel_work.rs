//! What a daemon's kernel thread does, step by step, and what the kernel tells of it.

use super::cluster::{Cluster, DETECTION, Happening};
use super::invariants::{Rule, Violation};
use super::machine::MachineId;
use super::process::Change;
use super::timeline::EntryKind;
use crate::kernel::{
    AddressReply, Detection, KernelEvent, LinkOutcome, Requester, RoutingReply, Verb, first_announcements,
};
use crate::node::Event;

impl Cluster {
    pub(super) fn work_soon(&mut self, id: MachineId) {
        let at = self.now + self.draw(self.pace.chunk);
        let machine = &mut self.machines[id.0];
        let stands_still = machine.stands_still();
        let Some(process) = machine.process.as_mut() else { return };
        if stands_still || process.working || process.operations.is_empty() {
            return;
        }
        process.working = true;
        let generation = process.generation;
        self.schedule(at, Happening::Work { machine: id, generation });
    }

    /// The kernel thread takes a chunk of one requester's changes.
    pub(super) fn work(&mut self, id: MachineId, generation: u64) {
        let longest = self.prng.between(1, self.pace.chunk_size as u64) as usize;
        let machine = &mut self.machines[id.0];
        let stands_still = machine.stands_still();
        let Some(process) = machine.process.as_mut().filter(|p| p.generation == generation) else { return };
        process.working = false;
        if stands_still {
            return;
        }
        let requester = match process.operations.front() {
            None => return,
            Some(Change::Address(requester, _)) => *requester,
            Some(Change::Link(_)) => return self.work_on_links(id),
            Some(Change::Routing(requester, _)) => {
                let requester = *requester;
                return self.work_on_routing(id, requester, longest);
            }
        };
        let (mut operations, mut outcomes) = (Vec::new(), Vec::new());
        while outcomes.len() < longest
            && let Some(Change::Address(of, operation)) = process.operations.front()
            && *of == requester
        {
            outcomes.push(machine.kernel.carry_out(operation));
            operations.push(operation.clone());
            process.operations.pop_front();
        }
        let later = process.operations.iter().filter_map(Change::address);
        let announcements = first_announcements(&operations, &outcomes, later);
        for (position, announcement) in announcements {
            outcomes[position].announced = self.announce(id, &announcement);
        }
        for outcome in &outcomes {
            let sign = match outcome.verb {
                Verb::Add => "+",
                Verb::Remove => "-",
            };
            let refusal = outcome.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
            let text = format!("{sign}{}{refusal}", outcome.prefix);
            self.record(EntryKind::Kernel, id, text);
        }
        self.flush_kernel(id);
        self.tell_soon(id, Event::Addresses(AddressReply { requester, outcomes }));
        self.work_soon(id);
    }

    /// The kernel thread takes a chunk of one requester's changes of routes and rules.
    fn work_on_routing(&mut self, id: MachineId, requester: Requester, longest: usize) {
        let machine = &mut self.machines[id.0];
        let Some(process) = machine.process.as_mut() else { return };
        let mut done = Vec::new();
        while done.len() < longest
            && let Some(Change::Routing(of, operation)) = process.operations.front()
            && *of == requester
        {
            done.push((machine.kernel.carry_out_routing(operation), operation.object.to_string()));
            process.operations.pop_front();
        }
        for (outcome, object) in &done {
            let sign = match outcome.verb {
                Verb::Add => "+",
                Verb::Remove => "-",
            };
            let refusal = outcome.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
            self.record(EntryKind::Kernel, id, format_args!("{sign}{object}{refusal}"));
        }
        self.flush_kernel(id);
        let outcomes = done.into_iter().map(|(outcome, _)| outcome).collect();
        self.tell_soon(id, Event::Routing(RoutingReply { requester, outcomes }));
        self.work_soon(id);
    }

    /// The kernel thread creates and removes the interfaces that are next.
    fn work_on_links(&mut self, id: MachineId) {
        let machine = &mut self.machines[id.0];
        let Some(process) = machine.process.as_mut() else { return };
        let mut outcomes = Vec::new();
        while let Some(Change::Link(operation)) = process.operations.front() {
            outcomes.push(machine.kernel.carry_out_link(operation));
            process.operations.pop_front();
        }
        for LinkOutcome { verb, key, error, .. } in &outcomes {
            let sign = match verb {
                Verb::Add => "+",
                Verb::Remove => "-",
            };
            let refusal = error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
            self.record(EntryKind::Kernel, id, format_args!("{sign}{}{refusal}", key.name));
        }
        self.flush_kernel(id);
        self.tell_soon(id, Event::Links(outcomes));
        self.work_soon(id);
    }

    /// Passes on what the kernel has to tell.
    pub(super) fn flush_kernel(&mut self, id: MachineId) {
        let machine = &mut self.machines[id.0];
        let notifications = machine.kernel.take_notifications();
        let taken_along = machine.kernel.take_taken_along();
        for port in &machine.ports {
            let up = machine.powered && machine.kernel.by_port(*port).is_some_and(|link| link.usable());
            self.network.set_up(*port, up);
        }
        for notification in notifications {
            if let KernelEvent::AddressPresent(held) = &notification
                && held.detection == Detection::Running
            {
                let happening = Happening::Detected { machine: id, link: held.link, prefix: held.prefix };
                self.schedule(self.now + DETECTION, happening);
            }
            self.tell_soon(id, Event::Kernel(notification));
        }
        taken_along.into_iter().for_each(|held| self.lose_along(id, &held));
        self.changed = true;
    }

    pub(super) fn daemon_ended(&mut self, id: MachineId) {
        let machine = &mut self.machines[id.0];
        let Some(process) = machine.process.take() else { return };
        let own =
            process.ledger.config.links.iter().filter(|_| !process.ledger.config.keep_addresses_on_stop);
        let left_links: Vec<_> =
            own.filter_map(|link| machine.kernel.by_name(&link.name)).map(|link| link.name.clone()).collect();
        let left = machine.kernel.addresses().iter().filter(|held| held.ours);
        // What has our mark but is of no router that it ever had there may be another daemon's.
        let charge = &process.ledger.charge;
        let left = left.filter(|held| charge.contains(&(held.link, held.prefix.address())));
        let kept = process.ledger.config.keep_addresses_on_stop;
        let left = left.filter(|held| !kept || process.ledger.is_static(held.link, held.prefix.address()));
        let mut left: Vec<String> = left.map(|held| held.prefix.to_string()).collect();
        left.extend(super::routing::left_behind(machine, &process));
        machine.touched = self.now;
        machine.silent_since = None;
        machine.left.clear();
        self.changed = true;
        self.record(EntryKind::Phase, id, "daemon stopped");
        for name in left_links {
            let detail = format!("stopped and left interface {name}");
            self.report(Violation { at: self.now, rule: Rule::LeftBehind, machine: Some(id), detail });
        }
        for left in left {
            let detail = format!("stopped and left {left}");
            self.report(Violation { at: self.now, rule: Rule::LeftBehind, machine: Some(id), detail });
        }
    }
}
