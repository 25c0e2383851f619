//! The rules that hold after every wake-up of a daemon.

use std::collections::{BTreeMap, BTreeSet};

use super::{Batch, Ledger, Rule, Standing, Switch, Violation};
use crate::kernel::{KernelEvent, KernelRequest, Requester, RouterId, Verb};
use crate::node::Event;
use crate::sim::MachineId;
use crate::sim::frame::Glance;
use crate::time::Duration;
use crate::vrrp::{Cause, State};

/// Timers due within this time may be served in one wake-up.
pub(super) const COALESCING: Duration = Duration::from_millis(1);

/// The priority of who owns the addresses, and does not wait.
const OWNER: u8 = 255;

/// Takes a wake-up into the ledger and gives the rules it broke.
pub fn judge(machine: MachineId, ledger: &mut Ledger, batch: &Batch<'_>) -> Vec<Violation> {
    let mut broken = Vec::new();
    let mut break_rule = |rule, detail| {
        broken.push(Violation { at: batch.at, rule, machine: Some(machine), detail });
    };
    let lasted = match batch.actions.is_empty() {
        // As most wake-ups are.
        true => ledger.note_received(batch),
        false => judge_actions(ledger, batch, &mut break_rule),
    };
    let calm = !lasted
        && batch.events.is_empty()
        && batch.actions.kernel.is_empty()
        && batch.actions.transitions().next().is_none();
    // In calm, neither what the daemon knows nor what it holds has changed.
    if !calm {
        judge_holdings(ledger, &mut break_rule);
    }
    broken
}

/// Takes a wake-up of which something came into the ledger, and judges that. Returns what [`Ledger::note_received`] does.
fn judge_actions(ledger: &mut Ledger, batch: &Batch<'_>, break_rule: &mut impl FnMut(Rule, String)) -> bool {
    let masters_before = masters(ledger);
    // Mastership gained or lost within this wake-up entitles to what was sent in it.
    let leaving_before = switched(ledger, Switch::Leaving);
    // What was heard and told comes before the actions, and the actions are judged by it.
    let lasted = ledger.note_received(batch);
    for transition in batch.actions.transitions() {
        if transition.to == State::Master
            && transition.from == State::Backup
            && !transition.priority.is_owner()
            && let Some(earliest) = ledger.routers.get(&transition.router).map(|s| s.earliest)
            && batch.local + COALESCING < earliest
        {
            let early = earliest.saturating_since(batch.local);
            break_rule(
                Rule::ElectedTooEarly,
                format!(
                    "({}) became master {} ms too early: {}",
                    transition.name,
                    early.as_millis(),
                    transition.cause
                ),
            );
        }
    }
    for transition in batch.actions.transitions() {
        if let Cause::BetterMaster { from, .. } = &transition.cause
            && !batch.heard.iter().any(|heard| heard.source == *from)
        {
            let detail = format!("({}) yielded to {from}, who said nothing new", transition.name);
            break_rule(Rule::ReplayBelieved, detail);
        }
    }
    ledger.note_actions(batch);
    let masters_after = masters(ledger);
    let concerned = batch.actions.transitions().filter(|t| [t.from, t.to].contains(&State::Master));
    let gained: Vec<RouterId> = concerned.map(|transition| transition.router).collect();
    let entitled = |router| [&masters_before, &gained, &masters_after].iter().any(|of| of.contains(router));
    let left_backup: Vec<RouterId> =
        batch.actions.transitions().filter(|t| t.from == State::Backup).map(|t| t.router).collect();
    // Who is told to switch back and over again in one wake-up advertises in between.
    let throughout =
        !batch.events.iter().any(|event| matches!(event, Event::SwitchBack(_) | Event::EndMaintenance));
    let leaving_after = switched(ledger, Switch::Leaving);
    let leaves = |router| throughout && leaving_before.contains(router) && leaving_after.contains(router);

    for sent in &batch.actions.transmit {
        let Some(glance) = Glance::within(sent.ip.protocol, &sent.payload) else {
            break_rule(
                Rule::AdvertisesWithoutMastership,
                format!("sent {} bytes that are no advertisement", sent.payload.len()),
            );
            continue;
        };
        if !ledger.speaks_to(glance.vrid, sent.source, sent.destination) {
            break_rule(
                Rule::SentAstray,
                format!("sent {glance} from {} to {}", sent.source, sent.destination),
            );
        }
        // What a backup sends to see whether it leaves is the first word of a master, and comes no earlier.
        let owner = glance.priority == OWNER;
        let tries = ledger.routers.get(&sent.router).is_some_and(|standing| {
            let in_time = owner || standing.earliest <= batch.local + COALESCING;
            standing.tries
                && (standing.state == State::Backup || left_backup.contains(&sent.router))
                && in_time
        });
        if !entitled(&sent.router) && !tries {
            break_rule(Rule::AdvertisesWithoutMastership, format!("sent {glance}"));
        }
        if glance.priority > 0 && leaves(&sent.router) {
            break_rule(Rule::AdvertisesWithoutMastership, format!("sent {glance} while it switches over"));
        }
    }
    let addresses = || batch.actions.kernel.iter().filter_map(KernelRequest::addresses);
    for operation in addresses().flat_map(|request| &request.operations) {
        if operation.verb == Verb::Remove && ledger.is_foreign(operation.link, operation.spec.prefix) {
            let detail = format!("asked to remove {}", operation.spec.prefix);
            break_rule(Rule::ForeignAddressRemoved, detail);
        }
    }
    judge_routing(ledger, batch, &masters_after, break_rule);
    // The link-local address of an interface below, which its virtual MAC has too, may be anything.
    let requests = addresses().filter(|request| request.requester != Requester::Links);
    let operations: Vec<_> = requests
        .flat_map(|request| request.operations.iter().map(|operation| (request.requester, operation)))
        .collect();
    for (position, (requester, operation)) in operations.iter().enumerate() {
        let (link, prefix) = (operation.link, operation.spec.prefix);
        if operation.verb == Verb::Remove || !ledger.is_elsewhere(link, prefix) {
            continue;
        }
        // What one event of a wake-up gives a place and a later one moves (a reload, another name of the interface) is
        // asked for, and given up behind that.
        let given_up = operations[position..].iter().any(|(other, later)| {
            other == requester
                && later.verb == Verb::Remove
                && (later.link, later.spec.prefix) == (link, prefix)
        });
        if !(given_up && ledger.was_here(link, prefix)) {
            let detail = format!("asked for {prefix} on interface {}", link.get());
            break_rule(Rule::WrongInterface, detail);
        }
    }
    for (position, operation) in batch.actions.links.iter().enumerate() {
        if operation.verb == Verb::Add {
            continue;
        }
        // One whose parent is gone, or has another name, has no place any more.
        let parent = operation.key.parent;
        let moved = batch.events.iter().any(|event| match event {
            Event::Kernel(KernelEvent::LinkChanged(link)) => link.key == parent,
            Event::Kernel(KernelEvent::LinkGone(key)) => *key == parent,
            _ => false,
        });
        // What one reload of a wake-up takes away and the next one gives back is removed, and made anew behind that.
        let comes_back = batch.actions.links[position..]
            .iter()
            .any(|later| later.verb == Verb::Add && later.key == operation.key);
        let passing = comes_back && ledger.was_without_link(&operation.key);
        if !moved && !passing && ledger.keeps_link(&operation.key) {
            let detail = format!("asked to remove interface {}", operation.key.name);
            break_rule(Rule::OwnLinkRemoved, detail);
        }
    }
    lasted
}

/// Judges what a daemon holds by what it knows.
fn judge_holdings(ledger: &Ledger, break_rule: &mut impl FnMut(Rule, String)) {
    let masters = masters(ledger);
    let kept = ledger.stopping && ledger.config.keep_addresses_on_stop;
    for (requester, _, prefix) in ledger.wanted.iter().filter(|_| !kept) {
        if let Requester::Router(router) = requester
            && !masters.contains(router)
        {
            let name = ledger.routers.get(router).map_or("?", |s| &*s.name);
            break_rule(Rule::AddressWithoutMastership, format!("({name}) wants {prefix} and is not master"));
        }
    }
    // Who leaves for maintenance is master until a successor is heard.
    let leaves = |standing: &&Standing| ledger.maintenance.is_some() && standing.switch == Switch::Leaving;
    for standing in ledger.routers.values().filter(|s| s.state == State::Master && !leaves(s)) {
        if let Some(config) = ledger.router_config(&standing.name)
            && let Some(fault) = ledger.fault(&config)
        {
            break_rule(Rule::MasterInFault, format!("({}) is master though {fault}", standing.name));
        }
    }
    for group in &ledger.config.sync_groups {
        let standings = || group.members.iter().filter_map(|name| ledger.standing(name));
        let is_master = |standing: &&Standing| standing.state == State::Master && !leaves(standing);
        let Some(master) = standings().find(is_master) else { continue };
        // Who has not started yet is no fault of the others'.
        for other in standings().filter(|standing| standing.state != State::Initialize) {
            let config = ledger.router_config(&other.name).filter(|_| other.name != master.name);
            if let Some(fault) = config.and_then(|config| ledger.fault(&config)) {
                let detail = format!("({}) is master beside ({}): {fault}", master.name, other.name);
                break_rule(Rule::MasterBesideFault, detail);
            }
        }
    }
}

fn masters(ledger: &Ledger) -> Vec<RouterId> {
    ledger.routers.iter().filter(|(_, s)| s.state == State::Master).map(|(id, _)| *id).collect()
}

fn switched(ledger: &Ledger, switch: Switch) -> Vec<RouterId> {
    ledger.routers.iter().filter(|(_, s)| s.switch == switch).map(|(id, _)| *id).collect()
}

/// Only a master asks for routes and rules, behind its addresses, and gives them up before these.
fn judge_routing(
    ledger: &Ledger,
    batch: &Batch<'_>,
    masters_after: &[RouterId],
    break_rule: &mut impl FnMut(Rule, String),
) {
    let name =
        |router: &RouterId| ledger.routers.get(router).map_or("?", |standing| &*standing.name).to_owned();
    let mut asked: BTreeMap<RouterId, bool> = BTreeMap::new();
    let mut addresses_removed = BTreeSet::new();
    // With an interface that is gone or has another name, addresses lose their place before anything is given up.
    let moves = |event: &Event| {
        use KernelEvent::{LinkChanged, LinkGone, View};
        matches!(event, Event::Kernel(LinkChanged(_) | LinkGone(_) | View(_)) | Event::Reconfigure(_))
    };
    let moved = batch.events.iter().any(moves);
    let left: BTreeSet<RouterId> = batch
        .actions
        .transitions()
        .filter(|transition| transition.from == State::Master)
        .map(|transition| transition.router)
        .collect();
    for request in &batch.actions.kernel {
        let Requester::Router(router) = request.requester() else { continue };
        match request {
            KernelRequest::Addresses(request) => {
                if request.operations.iter().any(|operation| operation.verb == Verb::Remove) {
                    addresses_removed.insert(router);
                }
            }
            KernelRequest::Routing(request) => {
                let removes = request.operations.iter().any(|operation| operation.verb == Verb::Remove);
                if removes && !moved && left.contains(&router) && addresses_removed.contains(&router) {
                    let detail = format!("({}) gives up its routes behind its addresses", name(&router));
                    break_rule(Rule::RoutingOutOfOrder, detail);
                }
                for operation in &request.operations {
                    asked.insert(router, operation.verb == Verb::Add);
                }
            }
        }
    }
    for (router, adds) in asked {
        if adds && !masters_after.contains(&router) {
            let detail = format!("({}) asks for routes or rules", name(&router));
            break_rule(Rule::RoutingWithoutMastership, detail);
        }
    }
}
