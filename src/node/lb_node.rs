//! [`LbNode`]: the director of one network namespace and the checks of its real servers.

#[cfg(test)]
mod tests;

use core::hash::{Hash, Hasher};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::BalancerConfig;
use crate::check::{
    self, Attempt, CheckActions, CheckStatus, Checker, Checks, Outcome, OutcomeKind, Target, TargetedCheck,
    WeightAdvice,
};
use crate::kernel::ipvs::{HostPort, ServiceKey};
use crate::lvs::{
    self, Advice, Beginning, CheckId, CheckedServer, Conduct, Director, DirectorConfig, Ending, Order,
    OrderedServer, Planned, ServerView, Service, Verdict, VirtualServer,
};
use crate::time::{Duration, Instant};

/// The director and the checks. Results of the ones reach the other; whoever drives it carries out what both ask for.
#[derive(Debug)]
pub(crate) struct LbNode {
    director: Director,
    checks: Checks<CheckId>,
    /// What names a check over reloads.
    ids: HashMap<Identity, CheckId>,
    next_check: u32,
    /// Whose each check is.
    owners: BTreeMap<CheckId, (Service, HostPort)>,
}

/// What is to be carried out and told.
#[derive(Debug, Default)]
pub(crate) struct LbActions {
    /// By the kernel's table, and for people. `checks` of it is dealt with already.
    pub director: lvs::Actions,
    /// Input and output of checks, in this order.
    pub io: Vec<(Attempt, check::Action)>,
    /// What came of checks, for the log.
    pub outcomes: Vec<Outcome<CheckId>>,
    /// How long tries of checks took.
    pub tries: Vec<(CheckId, Duration)>,
}

/// Whose check it is, what it does, and which of several that do the same. When it is made does not matter: it keeps its
/// result when its times change.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Identity {
    service: Service,
    target: HostPort,
    does: Deed,
    number: usize,
}

/// A checker without its times.
#[derive(Clone, Debug)]
struct Deed(Arc<Checker>);

impl PartialEq for Deed {
    fn eq(&self, other: &Self) -> bool {
        self.0.kind == other.0.kind
    }
}

impl Eq for Deed {}

impl Hash for Deed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.kind.hash(state);
    }
}

impl LbNode {
    /// Begins with a configuration. Equal seeds give equal starts of the checks.
    pub(crate) fn begin(
        now: Instant,
        seed: u64,
        config: &BalancerConfig,
        conduct: Conduct,
        beginning: &Beginning,
        actions: &mut LbActions,
    ) -> Self {
        let mut node = Self {
            director: Director::default(),
            checks: Checks::new(seed),
            ids: HashMap::new(),
            next_check: 0,
            owners: BTreeMap::new(),
        };
        let (config, checks) = node.parts(config, conduct);
        node.owners = owners(&config);
        node.director = Director::begin(now, config, beginning, &mut actions.director);
        node.configure(now, checks, actions);
        node
    }

    /// What [`LbNode::apply`] would change, by virtual server.
    pub(crate) fn plan(&mut self, config: &BalancerConfig, conduct: Conduct) -> Vec<(Service, Planned)> {
        let before = (self.ids.clone(), self.next_check);
        let (config, _) = self.parts(config, conduct);
        (self.ids, self.next_check) = before;
        self.director.plan(&config)
    }

    /// Takes up another configuration, and gives what that changes. What stays the same keeps its state, and a failed check
    /// stays failed.
    pub(crate) fn apply(
        &mut self,
        now: Instant,
        config: &BalancerConfig,
        conduct: Conduct,
        actions: &mut LbActions,
    ) -> Vec<(Service, Planned)> {
        let (config, checks) = self.parts(config, conduct);
        self.owners = owners(&config);
        let planned = self.director.apply(now, config, &mut actions.director);
        self.configure(now, checks, actions);
        planned
    }

    /// An operator gives an order for real servers, which may be for a time, or ends (`None`) those in force.
    pub(crate) fn order(
        &mut self,
        now: Instant,
        which: &[(Service, HostPort)],
        order: Option<(Order, Option<Duration>)>,
        actions: &mut LbActions,
    ) {
        self.director.order(now, which, order, &mut actions.director);
    }

    /// All orders in force.
    pub(crate) fn orders(&self) -> Vec<OrderedServer> {
        self.director.orders()
    }

    /// The kernel answered, or an address came or went.
    pub(crate) fn handle(&mut self, now: Instant, event: lvs::Event, actions: &mut LbActions) {
        self.director.handle(now, event, &mut actions.director);
        self.pass_on(now, CheckActions::default(), actions);
    }

    /// Something happened to a try of a check.
    pub(crate) fn handle_check(
        &mut self,
        now: Instant,
        attempt: Attempt,
        event: &check::Event<'_>,
        actions: &mut LbActions,
    ) {
        let mut checked = CheckActions::default();
        self.checks.handle(now, attempt, event, &mut checked);
        self.pass_on(now, checked, actions);
    }

    /// The number in a tracked file; `None` = there is none.
    pub(crate) fn file(
        &mut self,
        now: Instant,
        tracker: &Arc<str>,
        number: Option<i64>,
        actions: &mut LbActions,
    ) {
        let mut checked = CheckActions::default();
        self.checks.file(now, tracker, number, &mut checked);
        self.pass_on(now, checked, actions);
    }

    /// When [`LbNode::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        [self.director.poll_timeout(), self.checks.poll_timeout()].into_iter().flatten().min()
    }

    /// Time has passed: called after all that has arrived until now.
    pub(crate) fn handle_timeout(&mut self, now: Instant, actions: &mut LbActions) {
        let mut checked = CheckActions::default();
        self.checks.handle_timeout(now, &mut checked);
        self.pass_on(now, checked, actions);
        self.director.handle_timeout(now, &mut actions.director);
    }

    /// The end: all checks are closed, and [`lvs::Actions::stopped`] tells when the rest is done.
    pub(crate) fn stop(&mut self, now: Instant, ending: Ending, actions: &mut LbActions) {
        let mut checked = CheckActions::default();
        self.checks.configure(now, [], &mut checked);
        actions.io.append(&mut checked.io);
        self.director.stop(now, ending, &mut actions.director);
    }

    /// What the director and the checks are told.
    fn parts(
        &mut self,
        config: &BalancerConfig,
        conduct: Conduct,
    ) -> (DirectorConfig, Vec<TargetedCheck<CheckId>>) {
        let mut old = core::mem::take(&mut self.ids);
        let (mut checked, mut targeted) = (Vec::new(), Vec::new());
        for assignment in &config.checks {
            let key = assignment.server;
            let server = config.virtual_servers.get(key.virtual_server as usize);
            let real = server.and_then(|server| server.real_servers.get(key.real_server as usize));
            let (Some(server), Some(real)) = (server, real) else { continue };
            let does = Deed(Arc::clone(&assignment.checker));
            let (service, target) = (server.service.clone(), real.target);
            let mut identity = Identity { service, target, does, number: 0 };
            while self.ids.contains_key(&identity) {
                identity.number += 1;
            }
            let id = old.remove(&identity).unwrap_or_else(|| {
                self.next_check = self.next_check.wrapping_add(1);
                CheckId(self.next_check)
            });
            self.ids.insert(identity, id);
            checked.push(CheckedServer {
                virtual_server: key.virtual_server,
                real_server: key.real_server,
                check: id,
                alpha: assignment.checker.timing.alpha,
            });
            let target = Target { address: target.address, port: target.port.or_else(|| port_of(server)) };
            targeted.push(TargetedCheck { key: id, target, checker: Arc::clone(&assignment.checker) });
        }
        let director = DirectorConfig {
            virtual_servers: config.virtual_servers.clone(),
            groups: config.groups.clone(),
            checks: checked,
            conduct,
        };
        (director, targeted)
    }

    /// Whose a check is: the virtual server, and the real server.
    pub(crate) fn of_check(&self, check: CheckId) -> Option<(&Service, HostPort)> {
        self.owners.get(&check).map(|(service, target)| (service, *target))
    }

    /// The virtual server that has a service of the kernel.
    pub(crate) fn service_of(&self, key: ServiceKey) -> Option<&Service> {
        self.director.service_of(key)
    }

    /// All virtual servers.
    pub(crate) fn servers(&self) -> impl Iterator<Item = ServerView<'_>> {
        self.director.views()
    }

    /// All checks.
    pub(crate) fn checks(&self) -> impl Iterator<Item = CheckStatus<'_, CheckId>> {
        self.checks.statuses()
    }

    /// How many entries the kernel is known to hold and to lack.
    pub(crate) fn held(&self) -> (usize, usize) {
        self.director.held()
    }

    fn configure(&mut self, now: Instant, checks: Vec<TargetedCheck<CheckId>>, actions: &mut LbActions) {
        let mut checked = CheckActions::default();
        self.checks.configure(now, checks, &mut checked);
        self.pass_on(now, checked, actions);
    }

    /// Results to the director, and from it which checks rest, which may tell results in turn.
    fn pass_on(&mut self, now: Instant, checked: CheckActions<CheckId>, actions: &mut LbActions) {
        let mut checked = checked;
        loop {
            for switch in core::mem::take(&mut actions.director.checks) {
                self.checks.suspend(now, &switch.check, !switch.active, &mut checked);
            }
            actions.io.append(&mut checked.io);
            actions.tries.append(&mut checked.tries);
            if checked.outcomes.is_empty() {
                return;
            }
            for outcome in core::mem::take(&mut checked.outcomes) {
                if !matches!(outcome.kind, OutcomeKind::Forgiven { .. }) {
                    self.director.handle(now, event(&outcome), &mut actions.director);
                }
                actions.outcomes.push(outcome);
            }
        }
    }
}

/// Whose each check is.
fn owners(config: &DirectorConfig) -> BTreeMap<CheckId, (Service, HostPort)> {
    let owner = |checked: &CheckedServer| {
        let server = config.virtual_servers.get(checked.virtual_server as usize)?;
        let real = server.real_servers.get(checked.real_server as usize)?;
        Some((checked.check, (server.service.clone(), real.target)))
    };
    config.checks.iter().filter_map(owner).collect()
}

fn event(outcome: &Outcome<CheckId>) -> lvs::Event {
    let advice = match outcome.weight {
        None => Advice::Keep,
        Some(WeightAdvice::Set(weight)) => Advice::Set(weight),
        Some(WeightAdvice::Add(weight)) => Advice::Add(weight),
    };
    let verdict = if outcome.up { Verdict::Up(advice) } else { Verdict::Down };
    lvs::Event::Check { check: outcome.key, verdict, reason: Arc::from(&*outcome.reason) }
}

/// The port that real servers have which name none.
fn port_of(server: &VirtualServer) -> Option<core::num::NonZeroU16> {
    match &server.service {
        Service::Address(target, _) => target.port,
        Service::FirewallMark(_) | Service::Group(..) => None,
    }
}
