//! Carrying out what the director and the checks ask for, in their order.

use super::LvsWorker;
use super::table::Request;
use crate::kernel::ipvs::IpvsTable;
use crate::lvs::{self, News};
use crate::node::LbActions;
use crate::sys::clock;

impl LvsWorker<'_> {
    /// Carries out all that was asked for.
    pub(super) fn carry_out(&mut self) {
        self.change_table();
        let LbActions { director, io, outcomes, tries } = core::mem::take(&mut self.actions);
        let lvs::Actions { record: _, flush: _, kernel: _, read_table, checks: _, orders, news, stopped } =
            director;
        if read_table {
            self.read_table();
        }
        for (check, latency) in tries {
            if let Some((service, _)) = self.node.of_check(check) {
                match self.latencies.get_mut(service) {
                    Some(latencies) => latencies.note(latency),
                    None => self.latencies.entry(service.clone()).or_default().note(latency),
                }
            }
        }
        if let Some(orders) = orders
            && let Err(error) = self.orders.write(&orders, clock::now())
        {
            tracing::warn!(
                "cannot write down what was ordered of real servers: {error}; should this worker be killed, its \
                 successor does not know of it"
            );
        }
        for outcome in &outcomes {
            self.report_outcome(outcome);
        }
        for news in &news {
            self.tell(news);
        }
        for (attempt, action) in io {
            self.io.carry_out(attempt, action, &mut self.runner);
        }
        if stopped && !self.left {
            self.left = true;
            self.orders.forget();
            self.handover.note_left(self.delivery.leave());
        }
    }

    /// Carries out what concerns the kernel's table, once it is written down whose that is.
    pub(super) fn change_table(&mut self) {
        if let Some(services) = self.actions.director.record.take() {
            let written = self.record.set_services(services);
            let told = core::mem::replace(&mut self.record_failed, written.is_err());
            if let (Err(error), false) = (written, told) {
                tracing::error!(
                    "cannot write the record of our virtual servers: {error}; should this worker be killed, its \
                     successor leaves those that it does not know"
                );
            }
        }
        let flush = core::mem::take(&mut self.actions.director.flush);
        let changes = core::mem::take(&mut self.actions.director.kernel);
        let Some(table) = &self.table else { return };
        if flush {
            table.ask(Request::Flush);
        }
        if !changes.is_empty() {
            self.unanswered += changes.len();
            table.ask(Request::Change(changes));
        }
    }

    /// Has the table read; without one there is nothing to read.
    pub(super) fn read_table(&mut self) {
        match &self.table {
            Some(table) => table.ask(Request::Read),
            None => self.use_table(&IpvsTable::default()),
        }
    }

    fn tell(&mut self, news: &News) {
        self.report(news);
        let at = clock::wall();
        self.note_event(at, news);
        if let Some(told) = self.account.take(at, news) {
            self.delivery.tell(told, self.mail.as_deref());
        }
    }
}
