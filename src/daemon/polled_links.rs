//! `linkbeat_interfaces`: a thread of its own asks interfaces for their carrier, because that takes time, and tells the
//! vrrp thread when the answer is another one.

use std::io;

use super::mailbox::Mailbox;
use super::spawn;
use super::vrrp_thread::Message;
use crate::net::InterfaceName;
use crate::sys::carrier::{CarrierSocket, Question};
use crate::sys::poll::Poller;
use crate::time::Duration;
use crate::track::{LinkPolling, LinkPollingMethod};

/// Pause between two rounds.
const PAUSE: Duration = Duration::from_millis(500);

/// In keepalived's order: the first one that is answered is asked from then on.
const QUESTIONS: [Question; 3] = [Question::Mii, Question::Ethtool, Question::Flags];

/// The main thread's end.
#[derive(Debug)]
pub(super) struct PolledLinks {
    vrrp_thread: Mailbox<Message>,
    /// Once there is somebody to ask.
    thread: Option<Mailbox<Vec<LinkPolling>>>,
}

impl PolledLinks {
    /// Nobody is asked yet.
    pub(super) const fn new(vrrp_thread: Mailbox<Message>) -> Self {
        Self { vrrp_thread, thread: None }
    }

    /// Takes a configuration that the vrrp thread has, or has been sent. It is told of every interface then.
    pub(super) fn configure(&mut self, interfaces: &[LinkPolling]) {
        if self.thread.is_none() && !interfaces.is_empty() {
            match start(self.vrrp_thread.clone()) {
                Ok(inbox) => self.thread = Some(inbox),
                Err(error) => tracing::error!(
                    "interfaces cannot be asked for their carrier (linkbeat_interfaces): {error}; what the kernel \
                     tells counts"
                ),
            }
        }
        if let Some(thread) = &self.thread {
            thread.send(interfaces.to_vec());
        }
    }
}

fn start(vrrp_thread: Mailbox<Message>) -> io::Result<Mailbox<Vec<LinkPolling>>> {
    let inbox = Mailbox::new()?;
    let poller = Poller::new()?;
    poller.add(&inbox, 0)?;
    let socket = CarrierSocket::open()?;
    let thread = LinkThread { inbox: inbox.clone(), vrrp_thread, poller, socket, interfaces: Vec::new() };
    spawn("links", move || thread.run())?;
    Ok(inbox)
}

struct LinkThread {
    inbox: Mailbox<Vec<LinkPolling>>,
    vrrp_thread: Mailbox<Message>,
    poller: Poller,
    socket: CarrierSocket,
    interfaces: Vec<Asked>,
}

struct Asked {
    name: InterfaceName,
    preferred: Option<Question>,
    /// The question that it answers.
    question: Option<Question>,
    /// What the vrrp thread was told.
    told: Option<Option<bool>>,
}

impl LinkThread {
    fn run(mut self) {
        if let Err(error) = self.serve() {
            tracing::error!("interfaces are not asked for their carrier any more: {error}");
        }
    }

    fn serve(&mut self) -> io::Result<()> {
        loop {
            let timeout = (!self.interfaces.is_empty()).then_some(PAUSE);
            if self.poller.wait(timeout)?.next().is_some() {
                self.inbox.acknowledge();
                while let Some(interfaces) = self.inbox.take() {
                    self.interfaces = interfaces.into_iter().map(Asked::new).collect();
                }
            }
            for asked in &mut self.interfaces {
                let carrier = asked.ask(&self.socket);
                if asked.told.replace(carrier) != Some(carrier) {
                    let interface = asked.name.clone();
                    self.vrrp_thread.send(Message::Carrier { interface, carrier });
                }
            }
        }
    }
}

impl Asked {
    fn new(line: LinkPolling) -> Self {
        let preferred = line.method.map(|method| match method {
            LinkPollingMethod::Mii => Question::Mii,
            LinkPollingMethod::Ethtool => Question::Ethtool,
            LinkPollingMethod::Flags => Question::Flags,
        });
        Self { name: line.interface, preferred, question: None, told: None }
    }

    /// `None` where there is no such interface.
    fn ask(&mut self, socket: &CarrierSocket) -> Option<bool> {
        let known = self.question.into_iter();
        for question in known.chain(self.preferred).chain(QUESTIONS) {
            if let Ok(carrier) = socket.has_carrier(&self.name, question) {
                self.question = Some(question);
                return Some(carrier);
            }
        }
        self.question = None;
        None
    }
}
