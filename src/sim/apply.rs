//! What each [`Fault`] does to the LAN.

use std::sync::Arc;

use super::cluster::{Cluster, Happening};
use super::fault::Fault;
use super::invariants::Standstill;
use super::machine::{MachineId, interface_name};
use super::network::{PortId, SegmentId};
use super::process::{Process, Wakeup};
use super::reel::Reel;
use super::timeline::EntryKind;
use crate::net::{InterfaceIndex, Prefix};
use crate::node::Event;
use crate::time::{Duration, Instant};
use crate::track::FileReading;
use crate::vrrp::{Reservation, SwitchOver, Whom};

/// The longest that a starved daemon waits for the processor at a time.
const STARVED_MAX: Duration = Duration::from_millis(50);

impl Cluster {
    /// Something is done to the LAN now. Ends a quiet period.
    pub fn apply(&mut self, fault: &Fault) {
        self.end_quiet();
        match fault.machine() {
            Some(machine) => self.record(EntryKind::Fault, machine, fault),
            None => self.record(EntryKind::Fault, "", fault),
        }
        match fault {
            Fault::Conditions(segment, conditions) => self.network.set_conditions(*segment, *conditions),
            Fault::Cut(from, to) => self.network.cut(*from, *to),
            Fault::Partition(segment, ports) => self.partition(*segment, ports),
            Fault::Flooded(host, flood) => {
                self.hosts[host.0].flood = Some(flood.clone());
                self.schedule(self.now, Happening::Forge { host: *host, number: 0 });
            }
            Fault::FloodEnded(host) => self.hosts[host.0].flood = None,
            Fault::Replayed(host, pause, rounds) => {
                self.hosts[host.0].play(*pause, *rounds);
                self.schedule(self.now, Happening::Replay { host: *host, number: 0 });
            }
            Fault::AddressTaken(address, true) => _ = self.taken.insert(*address),
            Fault::AddressTaken(address, false) => _ = self.taken.remove(address),
            Fault::HealNetwork => self.network.heal(),
            Fault::CablePulled(id, segment) => {
                self.with_link(*id, *segment, |kernel, key| kernel.set_cable(key, false))
            }
            Fault::CablePlugged(id, segment) => {
                self.with_link(*id, *segment, |kernel, key| kernel.set_cable(key, true))
            }
            Fault::AdminDown(id, segment) => {
                self.with_link(*id, *segment, |kernel, key| kernel.set_admin_up(key, false));
            }
            Fault::AdminUp(id, segment) => {
                self.with_link(*id, *segment, |kernel, key| kernel.set_admin_up(key, true));
                self.machines[id.0].add_own_addresses(*segment);
            }
            Fault::ScriptFails(id, name, true) => {
                self.machines[id.0].failing_scripts.insert(Arc::clone(name));
            }
            Fault::ScriptFails(id, name, false) => {
                self.machines[id.0].failing_scripts.remove(name);
            }
            Fault::FileWritten(id, name, number) => {
                self.machines[id.0].files.insert(Arc::clone(name), *number);
                self.tell_of_file(*id, name);
            }
            Fault::ProcessesRun(id, name, count) => {
                self.machines[id.0].processes.insert(Arc::clone(name), *count);
                self.tell_of_processes(*id, name);
            }
            Fault::SendingForbidden(id, forbidden) => self.machines[id.0].sending_forbidden = *forbidden,
            Fault::MtuChanged(id, segment, mtu) => {
                self.with_link(*id, *segment, |kernel, key| kernel.set_mtu(key, *mtu));
            }
            Fault::InterfaceDeleted(id, segment, terse) => {
                self.with_link(*id, *segment, |kernel, key| kernel.delete(key, *terse));
            }
            Fault::VirtualMacsDeleted(id, segment) => {
                self.with_link(*id, *segment, super::kernel::Kernel::delete_on_top);
            }
            Fault::InterfaceCreated(id, segment) => {
                if self.machines[id.0].powered {
                    self.machines[id.0].create_interface(*segment);
                }
            }
            Fault::InterfaceRenamed(id, segment) => {
                let name = self.machines[id.0].other_name(*segment);
                self.with_link(*id, *segment, |kernel, key| kernel.rename(key, name));
            }
            Fault::InterfaceNameRestored(id, segment) => {
                self.with_link(*id, *segment, |kernel, key| kernel.rename(key, interface_name(*segment)));
            }
            Fault::OwnAddressRemoved(id, segment) => {
                for prefix in super::machine::own_addresses(*id, *segment) {
                    self.with_link(*id, *segment, |kernel, key| {
                        kernel.remove(key, prefix);
                    });
                }
            }
            Fault::OwnAddressRestored(id, segment) => self.machines[id.0].add_own_addresses(*segment),
            Fault::AddressRemoved(id, prefix) => self.remove_by_hand(*id, *prefix),
            Fault::RoutingFlushed(id) => _ = self.machines[id.0].kernel.flush_routing(),
            Fault::AddressAdded(id, segment, prefix) => {
                self.with_link(*id, *segment, |kernel, key| {
                    // The interface exists here, so that the kernel cannot refuse.
                    let _ = kernel.add(key, *prefix, false, false);
                });
            }
            Fault::NotificationsLost(id, time) => {
                let until = self.now + *time;
                if let Some(process) = &mut self.machines[id.0].process {
                    process.deaf_until = until;
                    self.schedule(until, Happening::Hearing(*id));
                }
            }
            Fault::Started(id) => self.start(*id, None),
            Fault::Crashed(id) => {
                let now = self.now;
                self.machines[id.0].kill(now);
            }
            Fault::LeftToNext(id) => self.leave_to_next(*id),
            Fault::Respawned(id) => self.start(*id, self.machines[id.0].silent_since),
            Fault::PowerLost(id) => {
                self.machines[id.0].lose_power();
            }
            Fault::Booted(id) => {
                if !self.machines[id.0].powered {
                    self.machines[id.0].boot();
                }
            }
            Fault::Frozen(id) => {
                let now = self.now;
                if let Some(process) = &mut self.machines[id.0].process {
                    process.frozen.get_or_insert(now);
                }
            }
            Fault::Thawed(id) => {
                let process = self.machines[id.0].process.as_mut();
                let since = process.and_then(|process| process.frozen.take());
                self.go_on(*id, since);
            }
            Fault::Starved(id, time) => self.starve(*id, *time),
            Fault::Paused(id) => {
                let now = self.now;
                self.machines[id.0].paused.get_or_insert(now);
            }
            Fault::Resumed(id) => {
                let since = self.machines[id.0].paused.take();
                self.go_on(*id, since);
            }
            Fault::Stopped(id) => {
                let now = self.now;
                if let Some(process) = &mut self.machines[id.0].process {
                    process.stopping.get_or_insert(now);
                }
                self.tell_soon(*id, Event::Stop);
            }
            Fault::SwitchOver(id) => self.tell_soon(*id, Event::SwitchOver(SwitchOver::ALL)),
            Fault::SwitchBack(id) => self.tell_soon(*id, Event::SwitchBack(Whom::All)),
            Fault::Ordered(id, order) => self.tell_soon(*id, order.event()),
            Fault::Reloaded(id, config) => {
                let machine = &mut self.machines[id.0];
                machine.spec.config = config.clone();
                if machine.process.is_some() {
                    machine.left.push(config.clone());
                }
                self.learn(*id, config);
                self.tell_soon(*id, Event::Reconfigure(config.clone()));
                self.tell_of_trackers(*id);
            }
            Fault::WallClockJumped(id, us) => {
                let now = self.now;
                self.machines[id.0].jump_wall_clock(now, *us);
            }
        }
        if let Some(id) = fault.machine() {
            self.touch(id);
            self.flush_kernel(id);
        }
        self.changed = true;
    }

    /// Plans short standstills, one after the other.
    fn starve(&mut self, id: MachineId, time: Duration) {
        let mut at = self.now;
        while at < self.now + time {
            let taken = self.draw(STARVED_MAX);
            let given = self.draw(STARVED_MAX / 4);
            self.schedule_fault(at, Fault::Frozen(id));
            self.schedule_fault(at + taken, Fault::Thawed(id));
            at = at + taken + given;
        }
        let machine = &mut self.machines[id.0];
        machine.starved_until = machine.starved_until.max(at);
    }

    /// What stood still `since` then goes on, unless something else still holds it.
    fn go_on(&mut self, id: MachineId, since: Option<Instant>) {
        let now = self.now;
        let machine = &mut self.machines[id.0];
        if machine.stands_still() {
            return;
        }
        if let Some(process) = &mut machine.process {
            process.next_wake = None;
            if let Some(since) = since {
                process.stood_still = Some(Standstill { since, until: now });
            }
        }
        self.wake_soon(id);
        self.work_soon(id);
    }

    /// Tells the daemon what its files hold and how many of its processes run, as at its start and after a reload.
    pub(super) fn tell_of_trackers(&mut self, id: MachineId) {
        let tracking = &self.machines[id.0].spec.config.tracking;
        let files: Vec<Arc<str>> = tracking.files.iter().map(|file| Arc::clone(&file.name)).collect();
        let processes: Vec<Arc<str>> = tracking.processes.iter().map(|p| Arc::clone(&p.name)).collect();
        files.iter().for_each(|name| self.tell_of_file(id, name));
        processes.iter().for_each(|name| self.tell_of_processes(id, name));
    }

    fn tell_of_file(&mut self, id: MachineId, name: &Arc<str>) {
        let number = self.machines[id.0].files.get(name).copied().unwrap_or_default();
        let (name, reading) = (Arc::clone(name), FileReading::Number(number));
        self.tell_soon(id, Event::File { name, reading });
    }

    fn tell_of_processes(&mut self, id: MachineId, name: &Arc<str>) {
        let count = self.machines[id.0].processes.get(name).copied().unwrap_or_default();
        self.tell_soon(id, Event::Processes { name: Arc::clone(name), count });
    }

    fn with_link(
        &mut self,
        id: MachineId,
        segment: SegmentId,
        change: impl FnOnce(&mut super::kernel::Kernel, InterfaceIndex),
    ) {
        let machine = &mut self.machines[id.0];
        if let Some(key) = machine.link(segment) {
            change(&mut machine.kernel, key);
        }
    }

    fn partition(&mut self, segment: SegmentId, split_off: &[PortId]) {
        for index in 0..self.owners.len() as u32 {
            let port = PortId(index);
            if self.network.segment(port) == segment {
                self.network.set_island(port, u32::from(split_off.contains(&port)));
            }
        }
    }

    fn remove_by_hand(&mut self, id: MachineId, prefix: Prefix) {
        let kernel = &mut self.machines[id.0].kernel;
        let links: Vec<InterfaceIndex> =
            kernel.addresses().iter().filter(|a| a.prefix == prefix).map(|a| a.link).collect();
        for link in links {
            kernel.remove(link, prefix);
        }
    }

    /// Masters send once more; then the process is gone, and nothing was given up.
    fn leave_to_next(&mut self, id: MachineId) {
        let now = self.machines[id.0].now(self.now);
        let still = self.machines[id.0].stands_still();
        if let Some(process) =
            self.machines[id.0].process.as_mut().filter(|process| !still && process.serves())
        {
            let mut wakeup = Wakeup::default();
            let legacy = process.leave_to_next(now, &mut wakeup.actions);
            self.machines[id.0].legacy = Some(legacy);
            self.judge(id, &wakeup);
            self.carry_out(id, wakeup);
        }
        let at = self.now;
        self.machines[id.0].kill(at);
    }

    fn start(&mut self, id: MachineId, silent_since: Option<Instant>) {
        let machine = &mut self.machines[id.0];
        if machine.process.is_some() || !machine.powered {
            return;
        }
        machine.generation += 1;
        let generation = machine.generation;
        let reservation = Reservation::begin(machine.kept_stamp, machine.now(self.now).wall);
        machine.kept_stamp = Some(reservation.to_keep());
        let config = machine.spec.config.clone();
        let mut process = Process::new(config.clone(), generation, silent_since, reservation, &machine.left);
        // Who starts anew knows of nobody before it.
        if let Some(legacy) = machine.legacy.take().filter(|_| silent_since.is_some()) {
            process.take_up(legacy);
        }
        if let Some(reels) = &mut self.reels {
            let reel = Reel::new(id, 16 + reels.len() % 5);
            process.record(reel.tape());
            reels.push(reel);
        }
        machine.process = Some(process);
        machine.left.push(config);
        self.schedule(self.now + Reservation::RENEWAL, Happening::Renew { machine: id, generation });
        let at = self.now + self.draw(self.pace.start);
        self.schedule(at, Happening::Ready { machine: id, generation });
    }
}
