//! The far end of a host's cable, for tests that look at frames or send their own. Beside `host`:
//! `#[path = "../support/cable.rs"] mod cable;`.

#![allow(clippy::panic, unreachable_pub)]

use std::time::Duration;

use alived::net::InterfaceName;
use pnet_datalink::{Channel, Config, DataLinkReceiver, DataLinkSender};

use crate::host::Host;

/// Opens a port of a host's switch. Who reads waits for 100 ms at a time.
pub fn open(host: &Host, port: &InterfaceName) -> (Box<dyn DataLinkSender>, Box<dyn DataLinkReceiver>) {
    let open = || {
        let port = pnet_datalink::interfaces().into_iter().find(|link| link.name == port.as_str()).unwrap();
        let config = Config { read_timeout: Some(Duration::from_millis(100)), ..Config::default() };
        match pnet_datalink::channel(&port, config).unwrap() {
            Channel::Ethernet(sender, receiver) => (sender, receiver),
            _ => panic!("not a channel of Ethernet frames"),
        }
    };
    // The socket stays in the namespace that it is opened in.
    host.switch.run(open).unwrap()
}
